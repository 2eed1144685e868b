/**
 * What keys look like: those of well-known services, and where any key stands beside a word that says so. Another shape is another line.
 *
 * A shape needs a prefix, a length or a word that nothing else has: commit hashes, ids, hyphenated words and base64 of other things are
 * left alone (fixtures/redaction). The time is linear in the text, whoever wrote it: what is repeated without a bound either ends the shape,
 * or has one beginning in a run of its characters.
 */
type Shape = readonly [shape: RegExp, replacement: string];

const MARK = "[secret]";

/** Not inside a word; behind an escape (`\n`, `%3D`) a new one begins. */
const WORD_START = String.raw`(?<!(?<!\\|%[0-9A-Fa-f])[A-Za-z0-9])`;
/** Between a name and its value: `=`, `: `, `": "`, `\": \"`. */
const IS = String.raw`["'\\]{0,3}\s{0,4}[:=]\s{0,4}["'\\]{0,3}`;
const DIGIT_AHEAD = String.raw`(?=[A-Za-z._~+/-]{0,200}[0-9])`;

/** `words` say what stands behind them, and are kept. */
const behind = (words: string, value: string, flags = ""): Shape => [new RegExp(`(${words})${value}`, `g${flags}`), `$1${MARK}`];

/** Keys known by how they begin. */
const KEYS: readonly string[] = [
  // Anthropic, OpenAI, OpenRouter; and whoever else begins a run of letters and digits so.
  String.raw`sk-(?:ant|proj|svcacct|admin|None|or)-(?=[A-Za-z_-]{0,120}[0-9])[A-Za-z0-9_-]{16,}`,
  String.raw`sk-(?=[A-Za-z]{0,60}[0-9])[A-Za-z0-9]{20,}`,
  // GitHub, GitLab.
  "gh[pousr]_[A-Za-z0-9]{20,}",
  "github_pat_(?=[A-Za-z_]{0,40}[0-9])[A-Za-z0-9_]{22,}",
  "gl(?:pat|dt|rt|cbt|ptt|ft|imt|agent|oas|soat|ffct|wt)-[A-Za-z0-9_.-]{20,}",
  "GR1348941[A-Za-z0-9_-]{20,}",
  // Amazon.
  "(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}(?![A-Za-z0-9])",
  "ABSK[A-Za-z0-9+/]{109,269}={0,2}",
  // Google.
  "AIza[A-Za-z0-9_-]{35}",
  "GOCSPX-[A-Za-z0-9_-]{28}",
  String.raw`ya29\.[A-Za-z0-9_-]{20,}`,
  "1//0[A-Za-z0-9_-]{40,}",
  // Slack.
  String.raw`xox[a-ce-z]-\d[A-Za-z0-9-]{9,}`,
  "xoxd-[A-Za-z0-9%+/=_-]{40,}",
  String.raw`xapp-\d-[A-Za-z0-9-]{20,}`,
  // Money and messages: Stripe, Square, Shopify, Twilio, SendGrid, Mailgun, Meta.
  "(?:sk|rk)_(?:live|test|prod)_[A-Za-z0-9]{16,}",
  "whsec_[A-Za-z0-9+/=]{24,}",
  "sq0(?:atp|csp)-[A-Za-z0-9_-]{22,}",
  "shp(?:at|ca|pa|ss)_[A-Fa-f0-9]{32}",
  "SK[0-9a-f]{32}(?![A-Za-z0-9])",
  String.raw`SG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}`,
  "key-[0-9a-f]{32}(?![A-Za-z0-9])",
  "(?<![+/])EAA[A-Za-z0-9]{100,}",
  // Where programs come from: npm, PyPI, RubyGems, NuGet, Docker Hub, Hugging Face.
  "npm_[A-Za-z0-9]{36}",
  "pypi-AgE[A-Za-z0-9_-]{50,}",
  "rubygems_[0-9a-f]{48}",
  "oy2[a-z0-9]{43}(?![a-z0-9])",
  "dckr_[po]at_[A-Za-z0-9_-]{27,}",
  "hf_[A-Za-z0-9]{30,}",
  // Models: Groq, xAI, Replicate, Perplexity, NVIDIA, Cerebras, Tavily, LangSmith.
  "gsk_[A-Za-z0-9]{40,}",
  "xai-[A-Za-z0-9]{60,}",
  "r8_[A-Za-z0-9]{37}",
  "pplx-[A-Za-z0-9]{40,}",
  "nvapi-[A-Za-z0-9_-]{60,}",
  "csk-[a-z0-9]{40,}",
  "tvly-(?:dev-)?[A-Za-z0-9]{30,}",
  "lsv2_(?:pt|sk)_[0-9a-f]{32}_[0-9a-f]{10}",
  // Machines: DigitalOcean, Heroku, Tailscale, Pulumi, Vault, Doppler, PlanetScale, Supabase, Databricks, Grafana, Sentry, New Relic.
  "do[opr]_v1_[0-9a-f]{64}",
  "HRKU-[A-Za-z0-9_-]{36,}",
  "tskey-[a-z]{2,20}-[A-Za-z0-9-]{20,}",
  "pul-[0-9a-f]{40}",
  String.raw`hv[sbr]\.[A-Za-z0-9_-]{24,}`,
  String.raw`dp\.(?:pt|st|ct|sa|scim|audit)\.[A-Za-z0-9._-]{40,}`,
  "pscale_(?:tkn|pw|oauth)_[A-Za-z0-9_.-]{30,}",
  "sbp_[0-9a-f]{40}",
  "dapi[0-9a-f]{32}(?![0-9a-f])",
  "glsa_[A-Za-z0-9]{32}_[0-9a-f]{8}",
  "glc_eyJ[A-Za-z0-9+/=]{60,}",
  "sntry[su]_[A-Za-z0-9_=+/]{40,}",
  "NRAK-[A-Z0-9]{27}",
  // Work: Linear, Notion, Figma, Airtable, Atlassian, Postman, 1Password.
  "lin_api_[A-Za-z0-9]{40}",
  "(?:secret|ntn)_[A-Za-z0-9]{43,50}(?![A-Za-z0-9_])",
  "figd_[A-Za-z0-9_-]{40,}",
  String.raw`pat[A-Za-z0-9]{14}\.[0-9a-f]{64}`,
  "ATATT3[A-Za-z0-9_=-]{100,}",
  "PMAK-[0-9a-f]{24}-[0-9a-f]{34}",
  "ops_eyJ[A-Za-z0-9_-]{100,}",
  // Files: age, minisign, signify.
  "AGE-SECRET-KEY-1[A-Z0-9]{58}",
  "RWR(?:TY0Iy|CSw)[A-Za-z0-9+/]{100,}={0,2}",
];

export const KEY_SHAPES: readonly Shape[] = [
  // A block that is cut off is still a key; its first line alone is none.
  [
    /-----BEGIN (?:[A-Z0-9]{1,12} ){0,4}PRIVATE KEY(?: BLOCK)?-----(?=[\s\S]{0,200}?[A-Za-z0-9+/]{20})[\s\S]*?(?:-----END [A-Z0-9 ]{1,60}-----|$)/g,
    MARK,
  ],
  [new RegExp(`${WORD_START}(?:${KEYS.join("|")})`, "g"), MARK],
  // Amazon.
  behind(`secret_?access_?key${IS}`, "[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+])", "i"),
  behind(`aws_?(?:session|security)_?token${IS}`, "[A-Za-z0-9/+]{80,}={0,2}", "i"),
  // Microsoft.
  behind(`(?:Account|Shared|SharedAccess)Key${IS}`, "[A-Za-z0-9+/]{40,}={0,2}"),
  behind(String.raw`\bsig=`, "[A-Za-z0-9%+/_-]{40,}={0,2}"),
  [/[A-Za-z0-9_~.-]{3}8Q~[A-Za-z0-9_~.-]{31,34}/g, MARK],
  // Slack, Discord, Telegram; of a bot of Discord the number in base64, a time and a signature.
  behind(String.raw`hooks\.slack\.com/(?:services|workflows|triggers)/`, "[A-Za-z0-9/_-]{20,}"),
  [/(?:[MNO][DTjz][AEIMQUYcgk][w-z0-5]){5,6}[A-Za-z0-9_-]{0,3}\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27,38}/g, MARK],
  behind(String.raw`discord(?:app)?\.com/api/(?:v\d{1,2}/)?webhooks/\d{15,20}/`, "[A-Za-z0-9_-]{60,}"),
  [/(?<!\d)\d{8,10}:AA[A-Za-z0-9_-]{33}(?![A-Za-z0-9_-])/g, MARK],
  // WireGuard.
  behind(`(?:Private|Preshared)Key${IS}`, "[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]="),
  // Terraform.
  behind(String.raw`\.atlasv1\.`, "[A-Za-z0-9_-]{60,}"),
  // JSON Web Tokens: a run of their letters has one beginning.
  [new RegExp(String.raw`${WORD_START}(?<![_-])eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*){0,3}`, "g"), MARK],
  // Headers. Where a word alone stands for a token, it has a digit; behind `Authorization` a capital inside will do.
  behind(
    `authorization${IS}(?:bearer|basic|token)\\s{1,4}`,
    "(?=[A-Za-z0-9._~+/-]{0,300}(?:[0-9=]|(?-i:[a-z][A-Z])))[A-Za-z0-9._~+/=-]{8,}",
    "i",
  ),
  behind(String.raw`\b(?:[Bb]earer|BEARER|[Bb]asic|BASIC)\s{1,4}`, `${DIGIT_AHEAD}[A-Za-z0-9._~+/=-]{16,}`),
  behind(
    `(?:\\b(?:x-api-key|x-goog-api-key|x-auth-token|x-vault-token|private-token)|auth_?token)${IS}`,
    `${DIGIT_AHEAD}[A-Za-z0-9._~+/=-]{16,}`,
    "i",
  ),
  // A password in an address, or a token in a user's place.
  [/(:\/\/[^\s/:@"'<>]{0,256}:)[^\s/@"'<>]{1,512}@/g, `$1${MARK}@`],
  [/(:\/\/)(?=[A-Za-z_-]{0,60}[0-9])[A-Za-z0-9_-]{20,255}@/g, `$1${MARK}@`],
];
