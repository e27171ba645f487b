"""A client of the chat-completions endpoint as a subject of the conformance suite: Python 3.9 or later, nothing else.

    paradigm-conformance client --command "python3 subject.py" --known-failures subject.known-failures.json

The first half is a small client over http.client. The second half speaks with the suite, as README.md describes: one JSON object a
line, a thread for each call, so that a call can be aborted while it waits for bytes.
"""

import base64
import codecs
import http.client
import json
import queue
import re
import socket
import ssl
import sys
import threading
from urllib.parse import quote, urlsplit

RETRYABLE = {408, 409, 429, 502, 503, 504}
MAX_ERROR_BODY = 65536
ID_HEADERS = ("x-request-id", "apim-request-id", "x-litellm-call-id")


class Failure(Exception):
    """A call that failed: a reason of the suite, what is known of it, and never the key."""

    def __init__(self, reason, message, **known):
        super().__init__(message)
        self.reason = reason
        self.known = known


# --- the client


def endpoint(base_url):
    try:
        url = urlsplit(base_url)
        fit = url.scheme in ("http", "https") and url.hostname and "@" not in url.netloc and url.port != 0
    except ValueError:
        fit = False
    if not fit:
        raise Failure("InvalidConfiguration", "the base URL is no http or https address")
    path = url.path.rstrip("/")
    if not path.endswith("/chat/completions"):
        path = (path or "/api/v3") + "/chat/completions"
    return url, path + ("?" + url.query if url.query else "")


def check_request(request):
    messages = request.get("messages")
    if not isinstance(request.get("model"), str) or not request["model"]:
        raise Failure("InvalidRequest", "model: a name is needed")
    if not isinstance(messages, list) or not messages or not all(isinstance(m, dict) and "role" in m for m in messages):
        raise Failure("InvalidRequest", "messages: a list of messages with a role is needed")
    for name in ("temperature", "top_p", "n", "max_tokens"):
        value = request.get(name)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise Failure("InvalidRequest", name + ": a number is needed")
    if request.get("max_tokens") is not None and request["max_tokens"] < 1:
        raise Failure("InvalidRequest", "max_tokens: at least 1 is needed")


def without_nulls(request):
    """The request without the optional fields that are null: null content stays, and so does what a vendor's own fields hold."""
    known = {name: value for name, value in request.items() if value is not None or name.startswith("vendor")}
    messages = [{name: value for name, value in m.items() if value is not None or name == "content"} for m in request["messages"]]
    return {**known, "messages": messages}


def words_of(value):
    """Every text in an error body, whatever its shape, with the names of the fields it is about."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [word for name, item in value.items() for word in [name + ":"] * isinstance(item, (dict, list)) + words_of(item)]
    if isinstance(value, list):
        return [word for item in value for word in words_of(item)]
    return []


def mask(text, key):
    """A text without the key, as it is and encoded. A word for a key is masked only as a credential."""
    if len(key) < 12:
        return text.replace("Bearer " + key, "Bearer …") if key else text
    encoded = base64.b64encode(key.encode("utf-8", "surrogatepass")).decode()
    for form in (key, quote(key, safe="", errors="surrogatepass"), encoded):
        text = text.replace(form, "…")
    return text


def nested(value):
    """The object of an error body that has its members: the body, or the error in it."""
    if isinstance(value, dict):
        return value["error"] if isinstance(value.get("error"), dict) else value
    return {}


def code_of(value):
    body = nested(value)
    word = body.get("error")
    code = word if isinstance(word, str) and word.replace("_", "").isalnum() else body.get("code")
    return str(code) if isinstance(code, (str, int)) and not isinstance(code, bool) else None


def about_model(value):
    words = " ".join([str(nested(value).get(name)) for name in ("code", "type", "param")] + words_of(value))
    return re.search(r"(?<![\w/-])model(?![\w/-])|model_not_found", words, re.I) is not None


def from_status(status, text, url=""):
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    known = {"status": status, "retryable": status in RETRYABLE, "code": code_of(value)}
    message = " ".join(words_of(value))[:300] if value is not None else text[:200]
    if status == 401:
        reason = "Unauthorized"
    elif status == 403:
        reason = "Forbidden"
    elif status == 402:
        reason = "QuotaExceeded"
    elif status == 404:
        reason = "ModelNotFound" if about_model(value) else "NotFound"
    elif status == 429 and nested(value).get("type") == "insufficient_quota":
        reason, known["retryable"] = "QuotaExceeded", False
    elif status == 429:
        reason = "RateLimited"
    elif status == 503 and isinstance(value, dict) and value.get("error") == "service_maintenance":
        reason, known["retryable"] = "Maintenance", False
    elif status >= 500:
        reason = "ServerFault"
    else:
        reason = "RequestRejected"
    if reason == "NotFound":
        message = url + " " + message
    return Failure(reason, "%d: %s" % (status, message), **known)


class Fold:
    """The completion as far as its chunks have come."""

    def __init__(self):
        self.head = None
        self.choices = {}
        self.usage = None

    def add(self, chunk):
        self.head = self.head or chunk
        if isinstance(chunk.get("usage"), dict):
            self.usage = chunk["usage"]
        for choice in chunk["choices"]:
            folded = self.choices.setdefault(
                choice.get("index", 0), {"message": {"role": "assistant", "content": None}, "finish_reason": None}
            )
            delta = choice.get("delta") or {}
            for name, value in delta.items():
                if name == "tool_calls":
                    self.add_calls(folded["message"].setdefault("tool_calls", []), value or [])
                elif name != "role" and isinstance(value, str):
                    folded["message"][name] = (folded["message"].get(name) or "") + value
            if choice.get("finish_reason") is not None:
                folded["finish_reason"] = choice["finish_reason"]

    @staticmethod
    def add_calls(calls, pieces):
        for piece in pieces:
            while len(calls) <= piece.get("index", 0):
                calls.append({"id": "", "type": "function", "function": {"name": "", "arguments": ""}})
            call, function = calls[piece.get("index", 0)], piece.get("function") or {}
            call["id"] = call["id"] or piece.get("id") or ""
            call["function"]["name"] = call["function"]["name"] or function.get("name") or ""
            call["function"]["arguments"] += function.get("arguments") or ""

    def complete(self):
        return bool(self.choices) and all(choice["finish_reason"] is not None for choice in self.choices.values())

    def partial(self):
        if self.head is None:
            return None
        choices = [{"index": index, **choice} for index, choice in sorted(self.choices.items())]
        return {
            "id": self.head.get("id"),
            "object": "chat.completion",
            "created": self.head.get("created"),
            "model": self.head.get("model"),
            "choices": choices,
        }


def events(reads):
    """The events of a text/event-stream, as (name, data), from reads that may be cut anywhere."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    rest, name, data, first, after_cr = [], "", [], True, False
    for read in reads:
        text = decoder.decode(read)
        if first and text:
            text, first = text[1:] if text[0] == "\ufeff" else text, False
        if after_cr and text:
            text = text[1:] if text[0] == "\n" else text
            after_cr = False
        if not text:
            continue
        after_cr = text[-1] == "\r"
        *lines, last = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        if lines:
            lines[0] = "".join(rest) + lines[0]
            rest = []
        rest.append(last)
        for line in lines:
            if line == "":
                if data:
                    yield name, "\n".join(data)
                name, data = "", []
                continue
            field, _, value = line.partition(":")
            value = value[1:] if value[:1] == " " else value
            if field == "data":
                data.append(value)
            elif field == "event":
                name = value


def fault(name, data, value):
    """The failure that a server reports in band, if the event is one."""
    error = None
    if name == "error":
        error = value if value is not None else data
    elif isinstance(value, dict):
        if value.get("error") is not None:
            error = value["error"]
        elif value.get("object") == "error":
            error = value
        else:
            in_choices = [c["error"] for c in value.get("choices") or [] if isinstance(c, dict) and c.get("error") is not None]
            error = in_choices[0] if in_choices else None
    if error is None:
        return None
    inner = error.get("error", error) if isinstance(error, dict) else error
    code = inner.get("code") if isinstance(inner, dict) else None
    known = {"status": code} if isinstance(code, int) and 400 <= code < 600 else {}
    known["code"] = code_of(inner)
    return Failure("StreamFault", " ".join(words_of(error))[:300], **known)


def check_completion(value):
    """Says which member of a completion, or of a chunk, is not what it has to be."""
    if not isinstance(value, dict):
        raise Failure("UnexpectedResponse", "the answer is no completion: it is no object")
    if not isinstance(value.get("id", ""), str):
        raise Failure("UnexpectedResponse", "the answer is no completion: id is no string")
    choices = value.get("choices")
    if not isinstance(choices, list) or not all(isinstance(choice, dict) for choice in choices):
        raise Failure("UnexpectedResponse", "the answer is no completion: choices are missing, or no list of objects")
    for choice in choices:
        said = choice.get("message", choice.get("delta"))
        content = said.get("content") if isinstance(said, dict) else None
        if not isinstance(choice.get("index", 0), int) or not isinstance(said or {}, dict) or not isinstance(content or "", str):
            raise Failure("UnexpectedResponse", "the answer is no completion: one of choices is none")
        for call in (said or {}).get("tool_calls") or []:
            if not isinstance(call, dict) or not is_index(call.get("index", 0)) or not is_called(call.get("function") or {}):
                raise Failure("UnexpectedResponse", "the answer is no completion: one of tool_calls is none")


def is_index(value):
    return isinstance(value, int) and value >= 0


def is_called(function):
    return isinstance(function, dict) and isinstance(function.get("arguments") or "", str)


def check_aborted(choices, known):
    """A server that shuts down ends what it generates with the finish reason "abort"."""
    if any(choice.get("finish_reason") == "abort" for choice in choices):
        raise Failure("Aborted", "the server aborted the answer", **{**known, "retryable": True})


class Client:
    def __init__(self, base_url, api_key):
        self.base_url = base_url
        self.api_key = api_key

    def connect(self, url, call):
        connection = (
            http.client.HTTPSConnection(url.hostname, url.port, context=ssl.create_default_context())
            if url.scheme == "https"
            else http.client.HTTPConnection(url.hostname, url.port)
        )
        try:
            connection.connect()
        except ssl.SSLError as error:
            raise Failure("TlsFailed", "no secure connection: %s" % error.reason)
        except OSError as error:
            raise Failure("ConnectFailed", "no connection: %s" % (error.strerror or error), retryable=True)
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        call.hold(connection.sock)
        return connection

    def send(self, operation, call):
        """Sends the request, and gives the response once its head is there."""
        if not self.api_key or any(not 0x21 <= ord(character) <= 0x7E for character in self.api_key):
            raise Failure("InvalidConfiguration", "the key holds what no key can")
        url, path = endpoint(self.base_url)
        check_request(operation["request"])
        streams = operation["kind"] == "stream"
        request = without_nulls(operation["request"])
        body = {**request, "stream": True} if streams else request
        headers = {
            "Authorization": "Bearer " + self.api_key,
            "Content-Type": "application/json",
            "Accept": "application/json, text/event-stream" if streams else "application/json",
        }
        connection = self.connect(url, call)
        try:
            connection.request("POST", path, json.dumps(body, ensure_ascii=False).encode("utf-8", "surrogatepass"), headers)
            return connection.getresponse()
        except (OSError, http.client.HTTPException):
            raise Failure("ConnectionLost", "the connection broke before there was an answer", phase="headers", retryable=True)

    def reads(self, response):
        """The bytes of a body as they come. A body that ends before it should is a connection lost."""
        lost = Failure("ConnectionLost", "the connection broke in the middle of the body", phase="body")
        while True:
            try:
                read = response.read1(65536)
            except (OSError, ValueError, http.client.HTTPException):
                raise lost
            if read:
                yield read
                continue
            if response.length:
                raise lost
            return

    def refuse(self, response, call, known):
        status = response.status
        if 300 <= status < 400:
            raise Failure("RedirectRefused", "%d: redirects are not followed" % status, **known)
        body = b""
        # A body that never ends must not hold up what its status already says.
        timer = threading.Timer(1.0, call.disconnect)
        timer.start()
        try:
            for read in self.reads(response):
                body += read
                if len(body) > MAX_ERROR_BODY:
                    break
        except Failure:
            pass
        timer.cancel()
        url = self.base_url.split("?")[0].rstrip("/") + "/chat/completions"
        failure = from_status(status, body[:MAX_ERROR_BODY].decode("utf-8", "replace"), url)
        failure.known = {**known, **failure.known}
        raise failure

    def perform(self, operation, call):
        response = self.send(operation, call)
        known = {"status": response.status, "requestId": next(filter(None, map(response.getheader, ID_HEADERS)), None)}
        if response.status >= 300:
            self.refuse(response, call, known)
        if response.status != 200:
            raise Failure("UnexpectedResponse", "the answer is no completion: its status is %d" % response.status, **known)
        content_type = response.getheader("content-type", "").split(";")[0].strip().lower()
        if operation["kind"] == "stream":
            if content_type != "text/event-stream":
                self.not_a_completion(response, known)
            return self.stream(response, call, known)
        body = b"".join(self.reads(response))
        try:
            value = json.loads(body.decode("utf-8-sig", "replace"))
        except (ValueError, RecursionError):
            raise Failure("UnexpectedResponse", "the answer is no completion: it is no JSON", **known)
        failure = fault("", "", value)
        if failure:
            failure.known = {**known, **failure.known}
            raise failure
        try:
            check_completion(value)
        except Failure as failure:
            failure.known = known
            raise
        check_aborted(value["choices"], {**known, "partial": value})
        return value

    def not_a_completion(self, response, known):
        body = b"".join(self.reads(response))
        try:
            failure = fault("", "", json.loads(body.decode("utf-8", "replace")))
        except (ValueError, RecursionError):
            failure = None
        if failure:
            failure.known = {**known, **failure.known}
            raise failure
        raise Failure("UnexpectedResponse", "the answer is no event stream", **known)

    def stream(self, response, call, known):
        fold = Fold()
        try:
            for name, data in events(self.reads(response)):
                if data.strip() == "[DONE]":
                    break
                try:
                    value = json.loads(data)
                except (ValueError, RecursionError):
                    value = None
                failure = fault(name, data, value)
                if failure:
                    raise failure
                try:
                    check_completion(value)
                except Failure:
                    raise Failure("MalformedChunk", "an event is no chunk: " + data[:200])
                fold.add(value)
                if not call.deliver(value):
                    return None
            else:
                if not fold.complete():
                    raise Failure("StreamTruncated", "the stream ended before it was complete")
            check_aborted(fold.choices.values(), {})
            if not fold.choices:
                raise Failure("StreamTruncated", "the stream ended before its first chunk: " + (data if fold.head is None else "no choice"))
        except Failure as failure:
            failure.known = {**known, "partial": fold.partial(), "usage": fold.usage, **failure.known}
            raise
        return None


# --- the conversation


class Call:
    """One call, in a thread of its own."""

    def __init__(self, number, client, message):
        self.number = number
        self.client = client
        self.operation = message["operation"]
        self.take = message.get("take")
        self.aborted = threading.Event()
        self.go_on = queue.Queue()
        self.sock = None
        self.delivered = 0
        if message.get("aborted"):
            self.aborted.set()

    def hold(self, sock):
        self.sock = sock
        if self.aborted.is_set():
            self.disconnect()

    def disconnect(self):
        """Ends the connection, also under a thread that waits for bytes of it."""
        if self.sock is not None:
            try:
                self.sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def abort(self):
        self.aborted.set()
        self.go_on.put(None)
        self.disconnect()

    def deliver(self, chunk):
        """Tells a chunk, waits to be told to go on, and says whether more is wanted."""
        if self.aborted.is_set():
            return False
        say({"type": "chunk", "call": self.number, "chunk": chunk})
        self.delivered += 1
        self.go_on.get()
        return not self.aborted.is_set() and self.delivered != self.take

    def run(self):
        outcome = {"outcome": "aborted"}
        try:
            if not self.aborted.is_set():
                completion = self.client.perform(self.operation, self)
                outcome = {"outcome": "chunks"} if completion is None else {"outcome": "completion", "completion": completion}
        except Failure as failure:
            message = mask(str(failure), self.client.api_key)
            error = {"reason": failure.reason, "message": message, "retryable": False, **failure.known}
            outcome = {"outcome": "error", "error": {**error, "printed": {"message": message, "repr": message}}}
        finally:
            self.disconnect()
            if self.sock is not None:
                self.sock.close()
        if self.aborted.is_set():
            outcome = {"outcome": "aborted"}
        say({"type": "outcome", "call": self.number, **outcome})


speaking = threading.Lock()


def say(message):
    with speaking:
        sys.stdout.write(json.dumps(message) + "\n")
        sys.stdout.flush()


def main():
    clients, calls = {}, {}
    for line in sys.stdin:
        message = json.loads(line)
        kind = message["type"]
        if kind == "hello":
            say({"type": "hello", "name": "python", "capabilities": ["abort", "house"]})
        elif kind == "open":
            clients[message["client"]] = Client(message["baseUrl"], message["apiKey"])
        elif kind == "call":
            call = calls[message["call"]] = Call(message["call"], clients[message["client"]], message)
            threading.Thread(target=call.run, daemon=True).start()
        elif kind == "continue":
            calls[message["call"]].go_on.put(None)
        elif kind == "abort":
            calls[message["call"]].abort()
        elif kind == "close":
            del clients[message["client"]]
            say({"type": "closed", "client": message["client"]})


main()
