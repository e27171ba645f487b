/**
 * The peers, by the name of their package, and our providers for the libraries of others.
 */
import type { Subject } from "@paradigm-effect/conformance/Subject"
import { aiSdk } from "./ai-sdk-paradigm.ts"
import { ai } from "./ai.ts"
import { effectAi } from "./effect-ai.ts"
import { langchain } from "./langchain.ts"
import { mistral } from "./mistral.ts"
import { groq, openai } from "./openai.ts"

export const peers: ReadonlyArray<Subject> = [openai, ai, groq, langchain, mistral]

export const providers: ReadonlyArray<Subject> = [effectAi, aiSdk]
