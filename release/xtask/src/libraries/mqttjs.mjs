// MQTT.js over WebSocket, as a browser uses it. Arguments as for paho.py.
import mqtt from "mqtt";

const [, websocket] = process.argv.slice(2);
const url = `ws://127.0.0.1:${websocket}/mqtt`;

const connect = (options) => mqtt.connectAsync(url, {
  username: "home", password: "secret", reconnectPeriod: 0, connectTimeout: 10_000, ...options,
});

const next = (client) => new Promise((resolve, reject) => {
  const late = setTimeout(() => reject(new Error("nothing came")), 10_000);
  client.once("message", (topic, payload, packet) => {
    clearTimeout(late);
    resolve({ topic, payload: payload.toString(), qos: packet.qos, retain: packet.retain });
  });
});

const same = (found, wanted) => {
  const [a, b] = [JSON.stringify(found), JSON.stringify(wanted)];
  if (a !== b) throw new Error(`${a} instead of ${b}`);
};

const checks = {
  "every QoS, 3,000 bytes": async () => {
    const client = await connect({});
    await client.subscribeAsync("js/#", { qos: 2 });
    for (const qos of [0, 1, 2]) {
      const payload = String(qos).repeat(3000);
      const message = next(client);
      await client.publishAsync("js/x", payload, { qos });
      same(await message, { topic: "js/x", payload, qos, retain: false });
    }
    await client.endAsync();
  },
  "a will is sent when a page is closed": async () => {
    const watcher = await connect({});
    await watcher.subscribeAsync("js/gone", { qos: 1 });
    const page = await connect({ will: { topic: "js/gone", payload: "bye", qos: 1, retain: false } });
    const message = next(watcher);
    page.stream.destroy();
    same((await message).payload, "bye");
    page.end(true);
    await watcher.endAsync();
  },
  "a session begun over WebSocket waits": async () => {
    const options = { clientId: "js-away", clean: false };
    const first = await connect(options);
    await first.subscribeAsync("js/away", { qos: 1 });
    await first.endAsync();
    const publisher = await connect({});
    await publisher.publishAsync("js/away", "waited", { qos: 1 });
    const again = mqtt.connect(url, { username: "home", password: "secret", reconnectPeriod: 0, ...options });
    same((await next(again)).payload, "waited");
    await again.endAsync();
    await publisher.endAsync();
  },
  "a wrong password is refused": async () => {
    try {
      await connect({ password: "wrong" });
    } catch (error) {
      return same(error.code, 4);
    }
    throw new Error("a wrong password was taken");
  },
};

for (const [name, check] of Object.entries(checks)) {
  try {
    await check();
    console.log(`ok ${name}`);
  } catch (error) {
    console.log(`FAILED ${name}: ${error.message}`);
  }
}
console.log("end");
process.exit(0);
