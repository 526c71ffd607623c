# id: res-descriptors-in-flight
# class: resource
# attempts: park descriptors of full sockets in messages, where no limit of this process counts them
# expect: contained
# needs: sibling

import array, socket
async def main():
    parked, a_b, errors = 0, [], []
    try:
        for _ in range(200):
            a, b = socket.socketpair()
            a.setblocking(False)
            try:
                while True:
                    a.send(bytes(65536))
            except BlockingIOError:
                pass
            c, d = socket.socketpair()
            c.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [a.fileno(), b.fileno()] * 100))])
            parked += 2
            a.close(); b.close()
            a_b.append((c, d))
    except OSError as e:
        errors.append(str(e))
    return {"escaped": parked > 300, "parked": parked, "errors": errors}
