# Reads raw mails with Python's email package, a parser that is not ours, and
# prints what it understood as JSON, one line a mail.  usage: read_mail.py FILE...
import email
import email.policy
import json
import sys

for name in sys.argv[1:]:
    raw = open(name, 'rb').read().split(b'\n\n', 1)[1]
    message = email.message_from_bytes(raw, policy=email.policy.default)
    defects = [str(d) for part in message.walk() for d in part.defects]
    defects += [str(d) for h in message.values() for d in getattr(h, 'defects', [])]
    print(json.dumps({
        'headers': sorted(k.lower() for k in message.keys()),
        'subject': str(message['subject']),
        'to': [[a.display_name, a.addr_spec] for a in message['to'].addresses],
        'from': [[a.display_name, a.addr_spec] for a in message['from'].addresses],
        'text': (message.get_body(('plain',)) or message).get_content() if message.get_body(('plain',)) else None,
        'html': message.get_body(('html',)).get_content() if message.get_body(('html',)) else None,
        'files': [[a.get_filename(), a.get_content_type(), len(a.get_content())] for a in message.iter_attachments()],
        'longest': max(len(line) for line in raw.split(b'\r\n')),
        'ascii': all(b < 128 for b in raw),
        'bare': raw.replace(b'\r\n', b'').count(b'\n') + raw.replace(b'\r\n', b'').count(b'\r'),
        'defects': defects}))
