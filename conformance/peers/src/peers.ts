/**
 * The peers, by the name of their package.
 */
import type { Subject } from "@paradigm-effect/conformance/Subject"
import { ai } from "./ai.ts"
import { langchain } from "./langchain.ts"
import { mistral } from "./mistral.ts"
import { groq, openai } from "./openai.ts"

export const peers: ReadonlyArray<Subject> = [openai, ai, groq, langchain, mistral]
