// Case files are decoded by their schema: nothing of them is taken on trust from the compiler's reading of the JSON.
declare module "*.json" {
  const value: unknown
  export default value
}
