"""Keeps a connection open at module level, and counts what came over it."""
import socket
import time

here, there = socket.socketpair()
asked = 0


def runcheck():
    global asked
    here.sendall(b'x')
    asked += len(there.recv(100))
    return [{'name': 'connection_asked', 'timestamp': int(time.time()), 'value': asked, 'chart_type': 'Counter'}]
