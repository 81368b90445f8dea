"""What is configured, and where it runs."""
import configparser
import os
import sys
import time
import getconfig
import lib.getconfig
import lib.pushdata
import lib.puylogger
import lib.sharedvars
import lib.helper

own = configparser.RawConfigParser()
own.read(os.path.split(os.path.dirname(__file__))[0] + '/conf/mine.ini')
lib.sharedvars.storevar('runs', 0)


def runcheck():
    now = int(time.time())
    lib.sharedvars.storevar('runs', lib.sharedvars.getvar('runs') + 1)
    lib.puylogger.print_message('runs in', os.path.basename(os.getcwd()))
    assert lib.getconfig is getconfig and lib.puylogger.debug_log is False
    assert lib.getconfig.getparam('Mine', 'flag') is True and 'level' in lib.getconfig.getsection('Mine')
    assert lib.getconfig.getsectionitems('Mine')['level'] == '42' == own.get('Mine', 'level')
    assert lib.pushdata.tsdb_type == 'InfluxDB' and lib.pushdata.host_group == 'test'
    try:
        lib.getconfig.getparam('Nothing', 'level')
    except configparser.NoSectionError:
        pass
    assert sys.stdin.read() == ''
    return [{'name': 'conf_level', 'timestamp': now, 'value': lib.getconfig.getparam('Mine', 'level')},
            {'name': 'conf_helped', 'timestamp': now, 'value': lib.helper.HELP}]
