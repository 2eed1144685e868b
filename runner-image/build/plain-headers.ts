/** As much of the global `Headers` as a bundle without undici needs; see `withoutUndici` in bundle-plugins.ts. */
class PlainHeaders {
  private readonly fields = new Map<string, string>();

  constructor(init: Iterable<readonly [string, string]> | Readonly<Record<string, string>> = {}) {
    const fields = Symbol.iterator in init ? init : Object.entries(init);
    for (const [name, value] of fields) this.set(name, value);
  }

  get(name: string): string | null {
    return this.fields.get(name.toLowerCase()) ?? null;
  }

  has(name: string): boolean {
    return this.fields.has(name.toLowerCase());
  }

  set(name: string, value: string): void {
    this.fields.set(name.toLowerCase(), String(value));
  }

  append(name: string, value: string): void {
    const before = this.get(name);
    this.set(name, before === null ? value : `${before}, ${value}`);
  }

  delete(name: string): void {
    this.fields.delete(name.toLowerCase());
  }

  forEach(visit: (value: string, name: string) => void): void {
    this.fields.forEach((value, name) => visit(value, name));
  }

  entries(): MapIterator<[string, string]> {
    return this.fields.entries();
  }

  [Symbol.iterator](): MapIterator<[string, string]> {
    return this.fields.entries();
  }
}

export { PlainHeaders as Headers };
