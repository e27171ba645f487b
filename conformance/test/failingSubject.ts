/** A subject that answers every call with an error. */
import { serveCalls } from "../src/bind/StdioSubject.ts"

const fail = () => Promise.reject(new Error("Boom"))

await serveCalls({ name: "failing", open: () => ({ json: fail, stream: fail }) })
