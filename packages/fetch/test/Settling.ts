// Every way to wait for a stream, with every way to end it. Web APIs only, so that it runs in every runtime.
import type { Paradigm } from "../src/index.ts"

type Connect = (options: { readonly apiKey: string; readonly baseUrl: string }) => Paradigm.ParadigmPromise

interface Call {
  readonly stream: Paradigm.ChunkStream
  readonly paradigm: Paradigm.ParadigmPromise
  readonly controller: AbortController
  readonly reader: () => ReadableStreamDefaultReader<Uint8Array>
}

const waits: Readonly<Record<string, (call: Call) => Promise<unknown>>> = {
  next: async ({ stream }) => {
    const iterator = stream[Symbol.asyncIterator]()
    await iterator.next()
    return iterator.next()
  },
  loop: async ({ stream }) => {
    let count = 0
    for await (const chunk of stream) count += chunk.choices.length
    return count
  },
  finalCompletion: ({ stream }) => stream.finalCompletion(),
  read: async ({ reader }) => {
    await reader().read()
    return reader().read()
  }
}

const ends: Readonly<Record<string, (call: Call, waiting: string) => unknown>> = {
  close: ({ stream }) => stream.close(),
  return: ({ stream }) => stream[Symbol.asyncIterator]().return?.(),
  dispose: ({ stream }) => stream[Symbol.asyncDispose](),
  "client.close": ({ paradigm }) => paradigm.close(),
  abort: ({ controller }) => controller.abort(new Error("stop")),
  cancel: ({ reader, stream }, waiting) => (waiting === "read" ? reader().cancel() : stream.toReadableStream().cancel())
}

/** The outcome of one combination. */
export interface Settled {
  readonly name: string
  /** `resolved`, the tag of the error's reason, the text of another error, or `pending`. */
  readonly outcome: string
  readonly expected: string
  /** Whether the server saw the end of the connection. */
  readonly isClosed: boolean
}

const sleep = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms))

const one = async (connect: Connect, url: string, server: string, waiting: string, ending: string): Promise<Settled> => {
  const id = crypto.randomUUID()
  const controller = new AbortController()
  const paradigm = connect({ apiKey: "sk-settling-0123456789", baseUrl: `${url}/${server}/${id}` })
  const stream = await paradigm.chat.completions.create(
    { model: "alfred", messages: [{ role: "user", content: "Hello" }], stream: true },
    { signal: controller.signal }
  )
  let opened: ReadableStreamDefaultReader<Uint8Array> | undefined
  const call: Call = { stream, paradigm, controller, reader: () => (opened ??= stream.toReadableStream().getReader()) }
  const wait = waits[waiting]?.(call) ?? Promise.reject(new Error(waiting))
  const settled = wait.then(
    () => "resolved",
    (error: unknown) => (error as { readonly reason?: { readonly _tag: string } }).reason?._tag ?? String(error)
  )
  // The first chunk has arrived, and the wait for the second one has begun.
  await sleep(30)
  void ends[ending]?.(call, waiting)
  const outcome = await Promise.race([settled, sleep(3000).then(() => "pending")])
  const isClosed = (await (await fetch(`${url}/closed/${id}`)).text()) === "true"
  await paradigm.close()
  const expected = ending === "abort" ? "Error: stop" : ending === "client.close" || waiting === "finalCompletion" ? "Closed" : "resolved"
  return { name: `${waiting}, ended by ${ending}, ${server} server`, outcome, expected, isClosed }
}

/** Runs all combinations on the server of `SettlingServer.ts`. */
export const settleAll = async (connect: Connect, url: string): Promise<ReadonlyArray<Settled>> => {
  const all: Array<Settled> = []
  for (const server of ["silent", "dripping"]) {
    for (const waiting of Object.keys(waits)) {
      for (const ending of Object.keys(ends)) all.push(await one(connect, url, server, waiting, ending))
    }
  }
  return all
}

/** The combinations that did not end as expected. */
export const unsettled = (all: ReadonlyArray<Settled>): ReadonlyArray<Settled> =>
  all.filter(({ expected, isClosed, outcome }) => outcome !== expected || !isClosed)
