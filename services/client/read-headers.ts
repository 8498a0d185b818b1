/** What the headers of a read tell beside the value. Pure. */

/** Nodes that stood in for owners of the key; nothing where none did. */
export function fallbacksOf(headers: Headers): { readonly fallbacks?: readonly string[] } {
  const names = headers.get("gyre-fallbacks");
  return names === null ? {} : { fallbacks: names.split(", ") };
}

/** When the value ends by itself, as an ISO date; nothing where it does not. */
export function expiresOf(headers: Headers): { readonly expires?: string } {
  const expires = headers.get("gyre-expires");
  return expires === null ? {} : { expires };
}
