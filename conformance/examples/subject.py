"""A subject around Python's own HTTP client: paradigm-conformance client --command "python3 subject.py". `chunks` and `run` are all that knows the client."""
import json, platform, sys, urllib.request

def chunks(response):
    for line in response:
        data = line.decode().strip().removeprefix("data:").strip()
        if data == "[DONE]":
            return
        if data:
            yield json.loads(data)

def run(options, kind, request, take, tell):
    if kind not in ("json", "stream"):
        return {"outcome": "cannot", "message": "it sends no forms"}
    headers = {"Authorization": "Bearer " + options["apiKey"], "Content-Type": "application/json"}
    body = json.dumps({**request, "stream": True} if kind == "stream" else request).encode()
    with urllib.request.urlopen(urllib.request.Request(options["baseUrl"] + "/chat/completions", body, headers)) as response:
        if kind == "json":
            return {"outcome": "completion", "completion": json.load(response)}
        for count, chunk in enumerate(chunks(response), 1):
            tell(chunk)
            if count == take:
                break
        return {"outcome": "chunks"}

def say(**message):
    print(json.dumps(message), flush=True)

def call(client, operation, paced, take, number):
    def tell(chunk):
        say(type="chunk", call=number, chunk=chunk)
        if paced:
            sys.stdin.readline()  # "continue": the suite has taken the chunk
    try:
        return run(clients[client], operation["kind"], operation["request"], take, tell)
    except Exception as error:
        told = {"reason": type(error).__name__, "message": str(error), "retryable": False, "status": getattr(error, "code", None)}
        return {"outcome": "error", "error": {**told, "printed": {"repr": repr(error)}}}

clients = {}
for message in map(json.loads, sys.stdin):
    if message["type"] == "hello":
        say(type="hello", name="urllib", runtime="Python " + platform.python_version(), capabilities=[])
    elif message["type"] == "open":
        clients[message["client"]] = message
    elif message["type"] == "call":
        number = message["call"]
        say(type="outcome", call=number, **call(message["client"], message["operation"], message.get("paced"), message.get("take"), number))
    elif message["type"] == "close":
        del clients[message["client"]]
        say(type="closed", client=message["client"])
