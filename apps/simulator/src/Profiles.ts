/**
 * All servers that are imitated.
 *
 * @since 0.1.0
 */
import * as OtherProfile from "./OtherProfile.ts"
import type { Profile } from "./Profile.ts"
import * as VllmProfile from "./VllmProfile.ts"

/**
 * By name: `vllm-0.32`, `vllm-0.32-reasoning` and older ones, `sglang`, `ollama`, `llamacpp`, `mlx-lm`, `transformers`, `litellm`.
 *
 * @category profiles
 * @since 0.1.0
 */
export const profiles: ReadonlyArray<Profile> = [...VllmProfile.profiles, ...OtherProfile.profiles]
