/**
 * Who may reach what: the owner's policy as data. `policy.toml` is read into this (host/config/policy-file.ts), and judged in
 * `host/egress/`. Where nothing is said, nothing is allowed.
 */

export type HostPattern =
  /** Lower-case, without a final dot. */
  | { readonly kind: "name"; readonly name: string }
  /** Every name below `of`, at any depth; not `of` itself. */
  | { readonly kind: "below"; readonly of: string }
  /** A single address is the range of itself. */
  | { readonly kind: "range"; readonly family: 4 | 6; readonly address: string; readonly prefix: number };

export interface EgressRule {
  /** As the owner wrote it. */
  readonly text: string;
  readonly host: HostPattern;
  readonly port: number;
}

/** Where `http://<name>.door/…` leads, and the credential it gets on the way. */
export interface Route {
  readonly name: string;
  /** `https://host[:port]`, no path. Plain http only to an address of this machine. */
  readonly upstream: { readonly scheme: "https" | "http"; readonly host: string; readonly port: number };
  /** Name of a secret. */
  readonly secret: string;
  readonly inject:
    | { readonly as: "bearer" }
    | { readonly as: "basic"; readonly user: string }
    | { readonly as: "header"; readonly header: string }
    | { readonly as: "query"; readonly parameter: string };
  /** Upper-case. */
  readonly methods: readonly string[];
  /** `*` stands for anything within one part of a path, `**` for any number of parts. */
  readonly paths: readonly string[];
  /** Folders of groups; "all": every group. */
  readonly groups: readonly string[] | "all";
}

/** Which groups are lent a secret itself. */
export interface LeaseGrant {
  readonly secret: string;
  /** The variable commands find it in. */
  readonly env: string;
  readonly groups: readonly string[] | "all";
  readonly ttlMs: number;
}

export interface Policy {
  readonly egress: {
    /** Of every turn. */
    readonly common: readonly EgressRule[];
    /** Beside the common ones, by folder. */
    readonly groups: ReadonlyMap<string, readonly EgressRule[]>;
    /** In place of both, by id of the task. */
    readonly tasks: ReadonlyMap<string, readonly EgressRule[]>;
  };
  readonly routes: ReadonlyMap<string, Route>;
  readonly leases: readonly LeaseGrant[];
}

/** Nothing is allowed. */
export const CLOSED_POLICY: Policy = { egress: { common: [], groups: new Map(), tasks: new Map() }, routes: new Map(), leases: [] };

/** A rule the owner added for a while, by `hermit egress allow`. */
export interface Override {
  readonly id: number;
  /** Null: of every group. */
  readonly folder: string | null;
  /** As a rule is written in the policy. */
  readonly rule: string;
  readonly reason: string;
  /** Epoch milliseconds. */
  readonly createdAt: number;
  readonly until: number;
}

/** Whose turn asks. */
export interface EgressCaller {
  readonly folder: string;
  readonly turnId: number;
  readonly taskId: string | null;
}
