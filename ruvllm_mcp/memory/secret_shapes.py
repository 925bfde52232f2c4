"""Secrets that are known by their shape alone: what providers' keys and tokens look like, and private-key blocks.

Each with the texts of which one occurs in every match, so that a text without them costs a substring search. Shapes are
the providers' published prefixes and lengths; a prefix that ordinary words share wants its full length.
"""

from __future__ import annotations

_BLOCK = r"-----BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----"
_TABLE = (
    # The second form is a block without its end: what looks like its body.
    (
        "private-key",
        "-----BEGIN",
        _BLOCK + r"(?:.{0,20000}?-----END (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----|[A-Za-z0-9+/=\s\\:,.'\"-]*)",
    ),
    ("private-key", "Private-Lines:", r"Private-Lines: \d{1,4}\s+(?:[A-Za-z0-9+/=]{1,100}\s+){1,200}"),
    ("age-key", "AGE-SECRET-KEY-1", r"\bAGE-SECRET-KEY-1[A-Z0-9]{58}\b"),
    ("aws-key", "AKIA ASIA ABIA ACCA", r"\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}\b"),
    ("aws-key", "ABSK", r"\bABSK[A-Za-z0-9+/]{109,269}={0,2}"),
    ("github-token", "ghp_ gho_ ghu_ ghs_ ghr_", r"\bgh[pousr]_[A-Za-z0-9]{36,255}\b"),
    ("github-token", "github_pat_", r"\bgithub_pat_[A-Za-z0-9_]{50,255}\b"),
    (
        "gitlab-token",
        "glpat- gldt- glptt- glrt- glcbt-",
        r"\bgl(?:pat|dt|ptt|rt|cbt)-[A-Za-z0-9_.-]{20,300}",
    ),
    ("gitlab-token", "GR1348941", r"\bGR1348941[A-Za-z0-9_-]{20}"),
    ("anthropic-key", "sk-ant-", r"\bsk-ant-[A-Za-z0-9_-]{20,200}"),
    ("openrouter-key", "sk-or-v1-", r"\bsk-or-v1-[a-f0-9]{64}"),
    ("langfuse-key", "sk-lf-", r"\bsk-lf-[a-f0-9-]{36}"),
    ("openai-key", "sk-", r"\bsk-(?:proj|svcacct|admin|None)-[A-Za-z0-9_-]{20,300}"),
    ("openai-key", "sk-", r"\bsk-[A-Za-z0-9]{20}[A-Za-z0-9_-]{0,200}"),
    ("slack-token", "xox xapp-", r"\bxox[abceoprs](?:\.xox[bp])?-[A-Za-z0-9-]{10,250}|\bxapp-\d-[A-Za-z0-9-]{20,250}"),
    (
        "slack-webhook",
        "hooks.slack.com",
        r"\bhttps://hooks\.slack\.com/(?:services|workflows|triggers)/[A-Za-z0-9/]{20,}",
    ),
    (
        "discord-webhook",
        "/api/webhooks/",
        r"\bhttps://(?:\w{1,10}\.)?discord(?:app)?\.com/api/webhooks/\d{17,20}/[\w-]{60,80}",
    ),
    (
        "discord-token",
        "MT Mj Mz ND NT Nj Nz OD OT",
        r"\b(?:M[Tjz]|N[DTjz]|O[DT])[A-Za-z\d_-]{22,24}\.[\w-]{6}\.[\w-]{27,40}\b",
    ),
    ("telegram-token", ":AA", r"\b\d{8,10}:AA[A-Za-z0-9_-]{33}\b"),
    ("teams-webhook", "webhook.office.com", r"\bhttps://[\w.-]{1,60}\.webhook\.office\.com/webhookb2/[\w@/-]{60,300}"),
    ("stripe-key", "_live_ _test_", r"\b[rs]k_(?:live|test)_[A-Za-z0-9]{16,250}\b"),
    ("stripe-key", "whsec_", r"\bwhsec_[A-Za-z0-9+/=]{32,100}"),
    ("square-token", "sq0", r"\bsq0[a-z]{3}-[A-Za-z0-9_-]{22,43}"),
    ("shopify-token", "shp", r"\bshp(?:at|ca|pa|ss|tka)_[a-fA-F0-9]{32}\b"),
    ("google-key", "AIza", r"\bAIza[A-Za-z0-9_-]{35}"),
    ("google-secret", "GOCSPX-", r"\bGOCSPX-[A-Za-z0-9_-]{28}"),
    ("google-token", "ya29.", r"\bya29\.[A-Za-z0-9_-]{30,500}"),
    ("azure-secret", "Q~", r"(?<![A-Za-z0-9_~.-])[A-Za-z0-9_~.-]{3}\dQ~[A-Za-z0-9_~.-]{31,34}(?![A-Za-z0-9_~.-])"),
    (
        "azure-key",
        "AccountKey= SharedAccessKey=",
        r"(?:(?<=AccountKey=)|(?<=AccessKey=))[A-Za-z0-9+/]{40,90}={0,2}",
    ),
    ("npm-token", "npm_", r"\bnpm_[A-Za-z0-9]{36}\b"),
    ("pypi-token", "pypi-AgE", r"\bpypi-AgE[A-Za-z0-9_-]{50,}"),
    ("rubygems-key", "rubygems_", r"\brubygems_[a-f0-9]{48}\b"),
    ("cargo-token", "cio", r"\bcio[A-Za-z0-9]{32}\b"),
    ("nuget-key", "oy2", r"\boy2[a-z0-9]{43}\b"),
    ("docker-token", "dckr_", r"\bdckr_[po]at_[A-Za-z0-9_-]{27,40}"),
    ("huggingface-token", "hf_", r"\bhf_[A-Za-z0-9]{34,40}\b"),
    ("replicate-token", "r8_", r"\br8_[A-Za-z0-9]{37}\b"),
    ("groq-key", "gsk_", r"\bgsk_[A-Za-z0-9]{48,56}\b"),
    ("perplexity-key", "pplx-", r"\bpplx-[A-Za-z0-9]{32,64}\b"),
    ("xai-key", "xai-", r"\bxai-[A-Za-z0-9]{70,90}\b"),
    ("nvidia-key", "nvapi-", r"\bnvapi-[A-Za-z0-9_-]{60,80}"),
    ("pinecone-key", "pcsk_", r"\bpcsk_[A-Za-z0-9_]{50,80}\b"),
    ("tavily-key", "tvly-", r"\btvly-(?:dev-|prod-)?[A-Za-z0-9]{32}\b"),
    ("langsmith-key", "lsv2_", r"\blsv2_(?:pt|sk)_[a-f0-9]{32}_[a-f0-9]{10}\b"),
    ("databricks-token", "dapi", r"\bdapi[a-f0-9]{32}(?:-\d)?\b"),
    ("digitalocean-token", "_v1_", r"\bdo[opr]_v1_[a-f0-9]{64}\b"),
    ("heroku-key", "HRKU-", r"\bHRKU-[A-Za-z0-9_-]{36,70}"),
    ("fly-token", "fm1 fm2 FlyV1", r"\b(?:FlyV1 )?fm[12][ar]?_[A-Za-z0-9+/=,_]{100,2000}"),
    ("netlify-token", "nfp_", r"\bnfp_[A-Za-z0-9]{36,40}\b"),
    ("vault-token", "hvs. hvb. hvr.", r"\bhv[sbr]\.[A-Za-z0-9_-]{24,300}"),
    ("terraform-token", ".atlasv1.", r"\b[A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_=-]{60,70}"),
    ("doppler-token", "dp.", r"\bdp\.(?:pt|st|ct|sa|scim|audit)\.(?:[a-z0-9_-]{1,40}\.)?[A-Za-z0-9]{40,44}\b"),
    ("pulumi-token", "pul-", r"\bpul-[a-f0-9]{40}\b"),
    ("newrelic-key", "NRAK- NRII- NRJS-", r"\bNR(?:AK|II|JS)-[A-Za-z0-9_-]{19,40}"),
    ("grafana-token", "glsa_ glc_", r"\bglsa_[A-Za-z0-9]{32}_[a-f0-9]{8}\b|\bglc_[A-Za-z0-9+/=]{32,400}"),
    ("sentry-token", "sntry", r"\bsntry[su]_[A-Za-z0-9+/=_]{60,300}"),
    ("posthog-key", "phx_", r"\bphx_[A-Za-z0-9]{40,60}\b"),
    ("linear-key", "lin_", r"\blin_(?:api|oauth)_[A-Za-z0-9]{40,64}\b"),
    ("notion-token", "ntn_", r"\bntn_[A-Za-z0-9]{40,60}\b"),
    ("figma-token", "figd_", r"\bfigd_[A-Za-z0-9_-]{40,60}"),
    ("airtable-token", "pat", r"\bpat[A-Za-z0-9]{14}\.[a-f0-9]{64}\b"),
    ("atlassian-token", "ATATT3", r"\bATATT3[A-Za-z0-9_=-]{150,250}"),
    ("supabase-key", "sbp_ sb_secret_", r"\bsbp_[a-f0-9]{40}\b|\bsb_secret_[A-Za-z0-9_-]{20,60}"),
    ("planetscale-token", "pscale_", r"\bpscale_(?:tkn|pw|oauth)_[A-Za-z0-9_.-]{32,64}"),
    ("sendgrid-key", "SG.", r"\bSG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}"),
    ("mailgun-key", "key-", r"\bkey-[a-f0-9]{32}\b"),
    ("mailchimp-key", "-us", r"\b[a-f0-9]{32}-us\d{1,2}\b"),
    ("twilio-key", "SK", r"\bSK[a-f0-9]{32}\b"),
    ("jwt", "eyJ", r"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}"),
    (
        "jwt",
        "eyJ",
        r"\beyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{0,700}(?:\.[A-Za-z0-9_-]{10,}){3}",
    ),
    ("1password-token", "ops_eyJ", r"\bops_eyJ[A-Za-z0-9_-]{100,}"),
)
# A marker, the mark to leave, and the expression of every match that has the marker in it.
SHAPES: tuple[tuple[str, str, str], ...] = tuple(
    (marker, name, pattern) for name, markers, pattern in _TABLE for marker in markers.split()
)
