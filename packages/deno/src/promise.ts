/**
 * The client with promises. The published module is bundled with the parts of Effect that it needs, so that a program without Effect installs none.
 *
 * @since 0.1.0
 */
export * as Paradigm from "./WithoutEffect.ts"
