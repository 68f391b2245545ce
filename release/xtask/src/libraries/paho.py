"""paho-mqtt against the broker: arguments are its ports of MQTT and of WebSocket."""
import queue
import sys

import paho.mqtt.client as paho

MQTT, WEBSOCKET = map(int, sys.argv[1:3])
LIMIT = 15


class Client:
    def __init__(self, name="", port=MQTT, transport="tcp", protocol=paho.MQTTv311, clean=True, user="home", will=None):
        self.messages, self.acks, self.connacks = queue.Queue(), queue.Queue(), queue.Queue()
        self.client = paho.Client(paho.CallbackAPIVersion.VERSION2, name, clean_session=clean, protocol=protocol,
                                  transport=transport)
        if transport == "websockets":
            self.client.ws_set_options(path="/mqtt")
        self.client.username_pw_set(user, "secret")
        if will:
            self.client.will_set(*will)
        self.client.on_message = lambda client, data, message: self.messages.put(message)
        self.client.on_subscribe = lambda client, data, mid, codes, properties: self.acks.put(codes)
        self.client.on_connect = lambda client, data, flags, code, properties: self.connacks.put((flags, code))
        self.client.connect("127.0.0.1", port, keepalive=30)
        self.client.loop_start()
        self.flags, self.code = self.connacks.get(timeout=LIMIT)

    def subscribe(self, topic, qos=0):
        self.client.subscribe(topic, qos)
        return [code.value for code in self.acks.get(timeout=LIMIT)]

    def publish(self, topic, payload, qos=0, retain=False):
        self.client.publish(topic, payload, qos, retain).wait_for_publish(LIMIT)

    def next(self):
        message = self.messages.get(timeout=LIMIT)
        return message.topic, message.payload, message.qos, message.retain

    def leave(self):
        self.client.disconnect()
        self.client.loop_stop()


def same(found, wanted):
    assert found == wanted, f"{found} instead of {wanted}"


def every_qos(**how):
    client = Client("every-qos", **how)
    for granted in (0, 1, 2):
        same(client.subscribe(f"qos/{granted}", granted), [granted])
        for qos in (0, 1, 2):
            payload = f"{qos}".encode() * 1500
            client.publish(f"qos/{granted}", payload, qos)
            same(client.next(), (f"qos/{granted}", payload, min(qos, granted), False))
    client.leave()


def websocket():
    every_qos(transport="websockets", port=WEBSOCKET)


def old_protocol():
    every_qos(protocol=paho.MQTTv31)


def session():
    first = Client("away", clean=False)
    same(first.flags.session_present, False)
    first.subscribe("away/#", 2)
    first.leave()
    publisher = Client()
    for qos in (0, 1, 2):
        publisher.publish("away/x", f"{qos}", qos)
    again = Client("away", clean=False)
    same(again.flags.session_present, True)
    same([again.next()[1:3] for _ in range(2)], [(b"1", 1), (b"2", 2)])
    # Nothing else waited, or it would come before this.
    publisher.publish("away/end", b"", 1)
    same(again.next()[0], "away/end")
    again.leave()
    Client("away").leave()
    publisher.leave()


def take_over():
    watcher = Client()
    watcher.subscribe("wills/#", 1)
    first = Client("same", will=("wills/same", b"taken over", 1, False))
    first.client.reconnect_delay_set(60, 120)
    second = Client("same")
    same(watcher.next()[:3], ("wills/same", b"taken over", 1))
    second.publish("wills/after", b"alive", 1)
    same(watcher.next()[:2], ("wills/after", b"alive"))
    for client in (first, second, watcher):
        client.leave()


def retained():
    client = Client()
    client.publish("kept/a", b"1", 1, True)
    client.subscribe("kept/#", 1)
    same(client.next(), ("kept/a", b"1", 1, True))
    client.publish("kept/a", b"", 1, True)
    same(client.next(), ("kept/a", b"", 1, False))
    client.subscribe("kept/+", 1)
    client.publish("kept/b", b"2", 1)
    same(client.next()[:2], ("kept/b", b"2"))
    client.leave()


def permissions():
    guest, home = Client(user="guest"), Client()
    same(guest.subscribe("closed/#"), [0x80])
    same(guest.subscribe("#"), [0])
    home.subscribe("open/#")
    guest.publish("open/x", b"from the guest", 1)
    home.publish("closed/x", b"secret", 1)
    home.publish("open/x", b"from home", 1)
    same(home.next()[1], b"from home")
    same(guest.next()[:2], ("open/x", b"from home"))
    home.publish("open/end", b"", 1)
    same(guest.next()[0], "open/end")
    guest.leave()
    home.leave()


def system():
    client = Client()
    client.subscribe("$SYS/broker/uptime")
    same(client.next()[3], True)
    same(client.next()[3], False)
    client.leave()


CHECKS = {
    "every QoS, 1,500 bytes": every_qos,
    "the same over WebSocket": websocket,
    "the same with MQTT 3.1": old_protocol,
    "what waits for a persistent session comes, once and in order": session,
    "a taken over client leaves its will, and the new one stays": take_over,
    "a retained message is kept, shown and cleared": retained,
    "a user with permissions is refused, ignored and served": permissions,
    "$SYS is retained and comes again": system,
}

for name, check in CHECKS.items():
    try:
        check()
        print("ok", name, flush=True)
    except Exception as error:
        print(f"FAILED {name}: {type(error).__name__} {error}", flush=True)
print("end", flush=True)
