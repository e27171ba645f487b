"""A subject around Python's own HTTP client: paradigm-conformance client --command "python3 subject.py". `answers` is all that knows the client."""
import json, platform, sys, urllib.request

def answers(client, kind, request):
    body = json.dumps({**request, "stream": True} if kind == "stream" else request).encode()
    headers = {"Authorization": "Bearer " + client["apiKey"], "Content-Type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(client["baseUrl"] + "/chat/completions", body, headers)) as response:
        if kind == "json":
            yield json.load(response)
        for data in (line.decode().strip().removeprefix("data:").strip() for line in response):
            if data == "[DONE]": return
            if data:
                yield json.loads(data)

def outcome(client, kind, request, take, tell):
    if kind not in ("json", "stream"):
        return {"outcome": "cannot", "message": "it sends no forms"}
    try:
        for count, answer in enumerate(answers(client, kind, request), 1):
            if kind == "json": return {"outcome": "completion", "completion": answer}
            tell(answer)
            if count == take: break
        return {"outcome": "chunks"}
    except Exception as error:
        told = {"reason": type(error).__name__, "message": str(error), "retryable": False, "status": getattr(error, "code", None)}
        return {"outcome": "error", "error": {**told, "printed": {"repr": repr(error)}}}

def say(kind, **message): print(json.dumps({"type": kind, **message}), flush=True)

clients = {}
for message in map(json.loads, sys.stdin):
    match message:
        case {"type": "hello"}: say("hello", name="urllib", runtime="Python " + platform.python_version(), capabilities=[])
        case {"type": "open", "client": client}: clients[client] = message
        case {"type": "call", "call": call, "client": client, "operation": operation}:
            def tell(chunk):
                say("chunk", call=call, chunk=chunk)
                if message.get("paced"): sys.stdin.readline()  # "continue": the suite has taken the chunk
            say("outcome", call=call, **outcome(clients[client], operation["kind"], operation["request"], message.get("take"), tell))
        case {"type": "close", "client": client}: say("closed", client=client)
