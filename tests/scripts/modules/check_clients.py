"""Asks a page, posts, and asks over TCP."""
import time
import lib.commonclient
from lib.getconfig import getparam


def runcheck():
    now, url = int(time.time()), getparam('Mine', 'url')
    page = lib.commonclient.httpget(__name__, url + '/page', 'user:pass', 'X-Own: 1')
    posted = lib.commonclient.httppost(__name__, url + '/posted', payload='body')
    host, port = url.split('//')[1].split(':')
    line = lib.commonclient.socketget(__name__, 12, host, port, 'GET /raw HTTP/1.0\r\n\r\n')
    nothing = lib.commonclient.httpget(__name__, 'http://127.0.0.1:1/')
    return [{'name': 'client_page', 'timestamp': now, 'value': len(page)},
            {'name': 'client_posted', 'timestamp': now, 'value': len(posted)},
            {'name': 'client_line', 'timestamp': now, 'value': len(line)},
            {'name': 'client_nothing', 'timestamp': now, 'value': 0 if nothing is None else 1}]
