// The chat that everybody writes first with Socket.IO: one event, for everybody,
// the sender too. A node passes it on when it runs with -forward 'chat message'.

const ECHO_MS = 3_000; // after which an own message should have come back
const MAX_LINES = 500;

const [help, log, messages, form, input] = ['help', 'log', 'messages', 'form', 'input'].map((id) => document.getElementById(id));

function chat() {
  const socket = io();
  let unanswered = 0; // a timer

  form.addEventListener('submit', (event) => {
    event.preventDefault();
    if (!input.value) return;
    socket.emit('chat message', input.value);
    input.value = '';
    unanswered ||= setTimeout(() => {
      help.textContent = "Nothing comes back. The nodes pass messages on when they are started with: -forward 'chat message'";
    }, ECHO_MS);
  });

  socket.on('chat message', (message) => {
    const item = document.createElement('li');
    item.textContent = message;
    messages.append(item);
    if (messages.childElementCount > MAX_LINES) messages.firstElementChild.remove();
    log.scrollTop = log.scrollHeight;
    clearTimeout(unanswered);
    unanswered = 0;
    help.textContent = '';
  });
}

if (globalThis.io) {
  chat();
} else {
  form.hidden = true;
  help.textContent = 'This node does not have Socket.IO’s client. “make build” puts it in; after that this page works.';
}
