# id: ch-send-descriptors
# class: channel
# attempts: send descriptors to the executor, to fill its table
# expect: contained
# needs: sibling

import array, os, socket, struct
async def main():
    host, errors, sent = socket.socket(fileno=os.dup(4)), [], 0
    frame = b'{"op":"progress","event":{"progress":1}}'
    for _ in range(300):
        try:
            host.sendmsg([struct.pack("<I", len(frame)) + frame], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0] * 250))])
            sent += 250
        except OSError as e:
            errors.append(str(e))
            break
    return {"escaped": False, "sent": sent, "errors": errors}
