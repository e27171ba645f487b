import { afterAll } from "vitest"
import * as FaultServer from "../src/fault/FaultServer.ts"
import { describeConformance } from "../src/bind/Vitest.ts"
import { makeReference } from "./reference.ts"

const server = await FaultServer.start()
afterAll(() => server.close())

describeConformance(makeReference(), server)
