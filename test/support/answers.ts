import { once } from 'node:events'
import { connect } from 'node:net'

/** Whether a server is there: that its port takes a connection (`connect`), or that it says something by itself (`data`). */
export async function answers (port: number, event: 'connect' | 'data'): Promise<boolean> {
  const socket = connect(port, '127.0.0.1')
  try {
    await once(socket, event)
    return true
  } catch {
    return false
  } finally {
    socket.destroy()
  }
}
