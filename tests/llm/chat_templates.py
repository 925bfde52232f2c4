"""Chat templates with the turns that the well-known models' own have, written for these tests."""

CHATML = """{%- if messages[0]['role'] == 'system' -%}
    {{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}
{%- else -%}
    {{- '<|im_start|>system\\nYou help.<|im_end|>\\n' }}
{%- endif -%}
{%- if tools %}{{ raise_exception('no tools here') }}{% endif -%}
{%- for message in messages %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) or message.role == "assistant" %}
        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
"""
HEADERS = """{%- set loop_messages = messages -%}
{%- if not date_string is defined %}{% set date_string = "26 Jul 2024" %}{% endif -%}
{% for message in loop_messages %}
    {% set content = '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' + message['content'] | trim + '<|eot_id|>' %}
    {% if loop.index0 == 0 %}{% set content = bos_token + content %}{% endif %}
{{ content }}
{% endfor %}
{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}"""  # noqa: E501
INST = """{% if messages[0]['role'] == 'system' %}{% set system, rest = messages[0]['content'], messages[1:] %}
{%- else %}{% set system, rest = '', messages %}{% endif %}
{{- bos_token }}
{%- for message in rest %}
{%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}
{{- raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}
{%- endif %}
{%- if message['role'] == 'user' %}{{ ' [INST] ' ~ (system ~ '\\n\\n' if loop.first and system else '') ~ message['content'] ~ ' [/INST]' }}
{%- elif message['role'] == 'assistant' %}{{ ' ' + message['content'] + eos_token }}
{%- else %}{{ raise_exception('Only user and assistant roles are supported!') }}{% endif %}
{%- endfor %}"""  # noqa: E501
PHI = """{% for message in messages %}{% if message['role'] in ['system', 'user'] %}{{ '<|' + message['role'] + '|>\\n' + message['content'] + '<|end|>\\n' }}
{%- elif message['role'] == 'assistant' %}{% generation %}{{ '<|assistant|>\\n' + message['content'] + '<|end|>\\n' }}{% endgeneration %}{% endif %}{% endfor %}
{%- if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% else %}{{ eos_token }}{% endif %}"""  # noqa: E501
THINKING = """{%- set ns = namespace(last=messages|length - 1, seen=[]) -%}
{%- macro shown(message) -%}{{ message.content | replace('\\t', ' ') | indent(2) }}{%- endmacro -%}
{%- for message in messages[::-1] %}{% if message.role == 'user' and loop.index0 < 1 %}{% set ns.last = ns.last - loop.index0 %}{% break %}{% endif %}{% endfor -%}
{%- for message in messages -%}
{%- set ns.seen = ns.seen + [message.role] -%}
{%- set content = message.content.split('</think>')[-1].lstrip('\\n') if message.role == 'assistant' and '</think>' in message.content else shown(message) -%}
{{ '<' ~ message.role | upper ~ '>' ~ content }}
{% if loop.index0 == ns.last %}{{ {"roles": ns.seen, "é<": loop.last} | tojson }}{% endif %}
{% endfor -%}
{{ ['a', 'b'] | join('-') }} {{ 'x'.join(['1', '2']) }} {{ 'ab'.replace('a', 'c') }} {{ '%s=%d' % ('n', 3) }} {{ "{}:{:>4}".format(1, 2) }}
{{ dict(a=1).items() | list }} {{ (1, 2) + (3,) }} {{ [1] * 2 }} {{ 7 // 2 }} {{ 'abc' | list | reverse | join }} {{ messages | map(attribute='role') | unique | join(', ') }}
"""  # noqa: E501
ALL = {"chatml": CHATML, "headers": HEADERS, "inst": INST, "phi": PHI, "thinking": THINKING}
TOKENS = {"bos_token": "<s>", "eos_token": "</s>"}
