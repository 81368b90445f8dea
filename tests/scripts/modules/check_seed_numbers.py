# Added by its reader: the imports, `config`, a colon, the indentation.
import datetime
import socket
from lib.getconfig import config

import lib.record_rate
import lib.pushdata

hostname = socket.getfqdn()
cluster_name = config.get('SelfConfig', 'cluster_name')
check_type = 'test'

def runcheck():
    jsondata=lib.pushdata.JonSon()
    jsondata.prepare_data()
    timestamp = int(datetime.datetime.now().strftime("%s"))
    name='CheckName'
    value=10

    jsondata.gen_data(name, timestamp, value, hostname, check_type,cluster_name)

    jsondata.put_json()
