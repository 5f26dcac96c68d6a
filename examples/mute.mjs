// A mute button: Enter toggles, and it shows every change of the mute. node mute.mjs [ws://HOST:8080/ws]
const address = process.argv[2] ?? 'ws://127.0.0.1:8080/ws';
let socket;

function connect() {
  socket = new WebSocket(`${address}?subscribe=room/1/audio/muted`);
  socket.onmessage = ({ data }) => {
    const frame = JSON.parse(data);
    if (frame.topic === 'room/1/audio/muted') console.log(frame.payload ? 'MUTED' : 'live');
    if (frame.payload?.error) console.log(frame.payload.error.message);
  };
  socket.onclose = ({ code, reason }) => {
    console.log('no connection', code, reason);
    if (code !== 4401) setTimeout(connect, 2000);
  };
}

process.stdin.on('data', () => {
  const frame = { id: 1, topic: 'room/1/audio/muted/set', payload: 'toggle' };
  if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(frame));
});
connect();
