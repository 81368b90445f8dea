"""Form B that also tells an event and gathers numbers of its own, which it never hands over."""
import time
import lib.pushdata

jsondata = lib.pushdata.JonSon()


def runcheck():
    now = int(time.time())
    jsondata.prepare_data()
    jsondata.gen_data('mixed_gathered', now, '2.5', lib.pushdata.hostname, 'gathered', lib.pushdata.cluster_name)
    jsondata.gen_data_json({'name': 'mixed_dict', 'timestamp': now, 'value': 3, 'check_type': 'd'}, lib.pushdata.hostname, '')
    jsondata.send_special('Mixed-Event', now, 9, 'WARNING: mixed', 'WARNING', runscripts=True)
    return {'name': 'mixed_returned', 'timestamp': now, 'value': 1}
