import { afterAll } from "vitest"
import * as FaultServer from "../src/FaultServer.ts"
import { describeConformance } from "../src/Vitest.ts"
import { makeReference } from "./reference.ts"

const server = await FaultServer.start()
afterAll(() => server.close())

describeConformance(makeReference(), server)
