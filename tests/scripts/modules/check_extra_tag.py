"""Tags, another host, and values that are none."""
import time


def runcheck():
    now = int(time.time())
    values = [{'name': 'tagged', 'timestamp': now, 'value': n, 'extra_tag': {'disk': n, 'mount': '/a b'}} for n in (1, 2)]
    values += [{'name': 'of_other', 'timestamp': now, 'value': 1, 'host': 'other'}]
    values += [{'name': 'bad_%d' % at, 'timestamp': now, 'value': v} for at, v in enumerate([None, '', 'nan', [], float('inf')])]
    return values + [7, {'name': 'nameless'}]
