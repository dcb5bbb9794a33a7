// The tutorials' servers on two nodes, with the official client of each.
import { options, socketio, until, done } from "./lib.mjs";

const [one, two] = options.urls;
const result = {};
const heard = (c, ...want) => until(JSON.stringify(want), 3000, () => c.got.some((m) => JSON.stringify(m.filter((x) => typeof x !== "function")) === JSON.stringify(want)));

{
  const ann = await socketio(one + "/chat"), bob = await socketio(two + "/chat");
  await ann.verb("enter", "lobby", "ann");
  result.there = await bob.verb("enter", "lobby", "bob");
  ann.send("say", "lobby", "hello");
  result.chat = (await heard(bob, "said", "ann", "hello")) && (await heard(ann, "said", "ann", "hello"));
  bob.close();
  result.left = await heard(ann, "left", "bob");
}
{
  result.refused = await socketio(two + "/servers", { auth: { game: "chess", key: "guessed" } }).catch((err) => [err.message, err.data]);
  const chess = await socketio(two + "/servers", { auth: { game: "chess", key: options.key } });
  const player = await socketio(one + "/players");
  await player.verb("watch", "chess");
  chess.socket.on("move", (id, move, ack) => ack({ legal: move.text === "e2e4", you: id === player.id }));
  result.move = await player.verb("move", "chess", { text: "e2e4" });
  await chess.verb("state", Buffer.from([1, 2, 3]));
  await until("state", 3000, () => player.got.length > 0);
  result.state = [...player.got[0][1]];
  await chess.verb("kick", player.id);
  await until("kicked", 3000, () => player.disconnects.length > 0);
  result.kicked = player.disconnects;
}
{
  const c = await socketio(two);
  const r = await fetch(one + "/broadcast", { method: "POST", body: JSON.stringify({ event: "news", data: { title: "It works" } }) });
  result.broadcast = [r.status, await heard(c, "news", { title: "It works" })];
}
{
  const ann = await socketio(one + "/private", { auth: { user: "ann" } });
  const bob = await socketio(two + "/private", { auth: { user: "bob" } });
  for (const c of [ann, bob]) c.socket.on("private message", (from, text, ack) => ack());
  result.users = await ann.verb("users");
  result.receipt = await ann.verb("private message", "bob", "psst");
  result.self = await bob.verb("private message", "bob", "note"); // the server asks who is asking
}
done(result);
