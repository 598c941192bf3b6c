-- Built-in messages about what happened (invoice issued, payment received …)
-- and statements of account, in five languages.

WITH label (language, salutation, regards, contact) AS (VALUES
  ('en', 'Dear Sir or Madam,', 'Kind regards', 'Questions? Reach us at'),
  ('de', 'Sehr geehrte Damen und Herren,', 'Mit freundlichen Grüßen', 'Fragen? Sie erreichen uns unter'),
  ('it', 'Gentili Signore e Signori,', 'Cordiali saluti', 'Domande? Potete contattarci a'),
  ('fr', 'Madame, Monsieur,', 'Cordialement', 'Des questions ? Vous pouvez nous joindre à'),
  ('es', 'Estimados señores:', 'Atentamente', '¿Preguntas? Pueden contactarnos en')
), letter (kind, language, subject, body, sms) AS (VALUES
  ('invoice_issued', 'en', 'Invoice {{document.number}}',
   'please find attached our invoice {{document.number}} of {{document.date}} over {{document.amount}}, due on {{document.due_date}}.',
   'Invoice {{document.number}} over {{document.amount}}, due on {{document.due_date}}.'),
  ('invoice_issued', 'de', 'Rechnung {{document.number}}',
   'anbei erhalten Sie unsere Rechnung {{document.number}} vom {{document.date}} über {{document.amount}}, fällig am {{document.due_date}}.',
   'Rechnung {{document.number}} über {{document.amount}}, fällig am {{document.due_date}}.'),
  ('invoice_issued', 'it', 'Fattura {{document.number}}',
   'in allegato la nostra fattura {{document.number}} del {{document.date}} di {{document.amount}}, con scadenza il {{document.due_date}}.',
   'Fattura {{document.number}} di {{document.amount}}, scadenza {{document.due_date}}.'),
  ('invoice_issued', 'fr', 'Facture {{document.number}}',
   'veuillez trouver ci-joint notre facture {{document.number}} du {{document.date}} d''un montant de {{document.amount}}, payable au plus tard le {{document.due_date}}.',
   'Facture {{document.number}} de {{document.amount}}, échéance le {{document.due_date}}.'),
  ('invoice_issued', 'es', 'Factura {{document.number}}',
   'adjuntamos nuestra factura {{document.number}} del {{document.date}} por {{document.amount}}, con vencimiento el {{document.due_date}}.',
   'Factura {{document.number}} por {{document.amount}}, vencimiento {{document.due_date}}.'),
  ('payment_received', 'en', 'Payment received: {{payment.amount}}',
   'thank you: on {{payment.date}} we received your payment of {{payment.amount}}.', 'We received your payment of {{payment.amount}}. Thank you.'),
  ('payment_received', 'de', 'Zahlungseingang: {{payment.amount}}',
   'vielen Dank: am {{payment.date}} ist Ihre Zahlung über {{payment.amount}} eingegangen.', 'Ihre Zahlung über {{payment.amount}} ist eingegangen. Vielen Dank.'),
  ('payment_received', 'it', 'Pagamento ricevuto: {{payment.amount}}',
   'grazie: il {{payment.date}} abbiamo ricevuto il vostro pagamento di {{payment.amount}}.', 'Abbiamo ricevuto il vostro pagamento di {{payment.amount}}. Grazie.'),
  ('payment_received', 'fr', 'Paiement reçu : {{payment.amount}}',
   'merci : le {{payment.date}}, nous avons reçu votre paiement de {{payment.amount}}.', 'Nous avons reçu votre paiement de {{payment.amount}}. Merci.'),
  ('payment_received', 'es', 'Pago recibido: {{payment.amount}}',
   'gracias: el {{payment.date}} hemos recibido su pago de {{payment.amount}}.', 'Hemos recibido su pago de {{payment.amount}}. Gracias.'),
  ('order_confirmed', 'en', 'Order confirmation {{document.number}}',
   'we confirm your order {{document.number}} of {{document.date}} over {{document.amount}}.', 'Order {{document.number}} over {{document.amount}} is confirmed.'),
  ('order_confirmed', 'de', 'Auftragsbestätigung {{document.number}}',
   'wir bestätigen Ihren Auftrag {{document.number}} vom {{document.date}} über {{document.amount}}.', 'Auftrag {{document.number}} über {{document.amount}} ist bestätigt.'),
  ('order_confirmed', 'it', 'Conferma d''ordine {{document.number}}',
   'confermiamo il vostro ordine {{document.number}} del {{document.date}} di {{document.amount}}.', 'L''ordine {{document.number}} di {{document.amount}} è confermato.'),
  ('order_confirmed', 'fr', 'Confirmation de commande {{document.number}}',
   'nous confirmons votre commande {{document.number}} du {{document.date}} d''un montant de {{document.amount}}.', 'La commande {{document.number}} de {{document.amount}} est confirmée.'),
  ('order_confirmed', 'es', 'Confirmación de pedido {{document.number}}',
   'confirmamos su pedido {{document.number}} del {{document.date}} por {{document.amount}}.', 'El pedido {{document.number}} por {{document.amount}} está confirmado.'),
  ('credit_alert', 'en', 'Credit limit of {{customer.name}}: {{credit.percent}} % used',
   '{{customer.name}} ({{customer.code}}) has used {{credit.percent}} % of the credit limit of {{credit.limit}}: exposure {{credit.exposure}}, available {{credit.available}}.',
   '{{customer.name}}: {{credit.percent}} % of credit limit used.'),
  ('credit_alert', 'de', 'Kreditlimit von {{customer.name}}: {{credit.percent}} % ausgeschöpft',
   '{{customer.name}} ({{customer.code}}) hat {{credit.percent}} % des Kreditlimits von {{credit.limit}} ausgeschöpft: Obligo {{credit.exposure}}, frei {{credit.available}}.',
   '{{customer.name}}: {{credit.percent}} % des Kreditlimits ausgeschöpft.'),
  ('credit_alert', 'it', 'Fido di {{customer.name}}: utilizzato al {{credit.percent}} %',
   '{{customer.name}} ({{customer.code}}) ha utilizzato il {{credit.percent}} % del fido di {{credit.limit}}: esposizione {{credit.exposure}}, disponibile {{credit.available}}.',
   '{{customer.name}}: fido utilizzato al {{credit.percent}} %.'),
  ('credit_alert', 'fr', 'Limite de crédit de {{customer.name}} : {{credit.percent}} % utilisés',
   '{{customer.name}} ({{customer.code}}) a utilisé {{credit.percent}} % de la limite de crédit de {{credit.limit}} : encours {{credit.exposure}}, disponible {{credit.available}}.',
   '{{customer.name}} : {{credit.percent}} % de la limite de crédit utilisés.'),
  ('credit_alert', 'es', 'Límite de crédito de {{customer.name}}: {{credit.percent}} % utilizado',
   '{{customer.name}} ({{customer.code}}) ha utilizado el {{credit.percent}} % del límite de crédito de {{credit.limit}}: riesgo {{credit.exposure}}, disponible {{credit.available}}.',
   '{{customer.name}}: {{credit.percent}} % del límite de crédito utilizado.'),
  ('dispute_opened', 'en', 'Your objection to {{document.number}}',
   'we have recorded your objection to {{document.number}} over {{document.amount}} and are looking into it. Until then we will not remind you of this amount.',
   'We are looking into your objection to {{document.number}}.'),
  ('dispute_opened', 'de', 'Ihre Reklamation zu {{document.number}}',
   'wir haben Ihre Reklamation zu {{document.number}} über {{document.amount}} aufgenommen und prüfen sie. Bis dahin mahnen wir diesen Betrag nicht an.',
   'Wir prüfen Ihre Reklamation zu {{document.number}}.'),
  ('dispute_opened', 'it', 'La vostra contestazione di {{document.number}}',
   'abbiamo registrato la vostra contestazione di {{document.number}} per {{document.amount}} e la stiamo verificando. Nel frattempo non solleciteremo questo importo.',
   'Stiamo verificando la vostra contestazione di {{document.number}}.'),
  ('dispute_opened', 'fr', 'Votre réclamation concernant {{document.number}}',
   'nous avons enregistré votre réclamation concernant {{document.number}} pour {{document.amount}} et nous l''examinons. Dans l''intervalle, nous ne relancerons pas ce montant.',
   'Nous examinons votre réclamation concernant {{document.number}}.'),
  ('dispute_opened', 'es', 'Su reclamación sobre {{document.number}}',
   'hemos registrado su reclamación sobre {{document.number}} por {{document.amount}} y la estamos examinando. Mientras tanto no reclamaremos este importe.',
   'Estamos examinando su reclamación sobre {{document.number}}.'),
  ('promise_recorded', 'en', 'Your payment of {{promise.amount}} by {{promise.date}}',
   'thank you for agreeing to pay {{promise.amount}} by {{promise.date}}.', 'As agreed, we expect {{promise.amount}} by {{promise.date}}.'),
  ('promise_recorded', 'de', 'Ihre Zahlung von {{promise.amount}} bis {{promise.date}}',
   'vielen Dank für Ihre Zusage, {{promise.amount}} bis zum {{promise.date}} zu zahlen.', 'Wie vereinbart erwarten wir {{promise.amount}} bis {{promise.date}}.'),
  ('promise_recorded', 'it', 'Il vostro pagamento di {{promise.amount}} entro il {{promise.date}}',
   'grazie per l''impegno a pagare {{promise.amount}} entro il {{promise.date}}.', 'Come concordato attendiamo {{promise.amount}} entro il {{promise.date}}.'),
  ('promise_recorded', 'fr', 'Votre paiement de {{promise.amount}} avant le {{promise.date}}',
   'nous vous remercions de votre engagement à payer {{promise.amount}} avant le {{promise.date}}.', 'Comme convenu, nous attendons {{promise.amount}} avant le {{promise.date}}.'),
  ('promise_recorded', 'es', 'Su pago de {{promise.amount}} antes del {{promise.date}}',
   'gracias por su compromiso de pagar {{promise.amount}} antes del {{promise.date}}.', 'Según lo acordado, esperamos {{promise.amount}} antes del {{promise.date}}.'),
  ('quote_sent', 'en', 'Quote {{document.number}}',
   'please find our quote {{document.number}} of {{document.date}} over {{document.amount}}, valid until {{document.valid_until}}.', 'Quote {{document.number}} over {{document.amount}}.'),
  ('quote_sent', 'de', 'Angebot {{document.number}}',
   'anbei unser Angebot {{document.number}} vom {{document.date}} über {{document.amount}}, gültig bis {{document.valid_until}}.', 'Angebot {{document.number}} über {{document.amount}}.'),
  ('quote_sent', 'it', 'Offerta {{document.number}}',
   'vi inviamo la nostra offerta {{document.number}} del {{document.date}} di {{document.amount}}, valida fino al {{document.valid_until}}.', 'Offerta {{document.number}} di {{document.amount}}.'),
  ('quote_sent', 'fr', 'Devis {{document.number}}',
   'veuillez trouver notre devis {{document.number}} du {{document.date}} d''un montant de {{document.amount}}, valable jusqu''au {{document.valid_until}}.', 'Devis {{document.number}} de {{document.amount}}.'),
  ('quote_sent', 'es', 'Oferta {{document.number}}',
   'les enviamos nuestra oferta {{document.number}} del {{document.date}} por {{document.amount}}, válida hasta el {{document.valid_until}}.', 'Oferta {{document.number}} por {{document.amount}}.'),
  ('signature_code', 'en', 'Your code to sign {{document.number}}',
   'your code to sign {{document.number}} is {{code}}. It is good for {{minutes}} minutes. Give it to nobody.', 'Code to sign {{document.number}}: {{code}} ({{minutes}} min). Give it to nobody.'),
  ('signature_code', 'de', 'Ihr Code zum Unterschreiben von {{document.number}}',
   'Ihr Code zum Unterschreiben von {{document.number}} lautet {{code}}. Er gilt {{minutes}} Minuten. Geben Sie ihn nicht weiter.', 'Code für {{document.number}}: {{code}} ({{minutes}} Min.). Nicht weitergeben.'),
  ('signature_code', 'it', 'Il vostro codice per firmare {{document.number}}',
   'il codice per firmare {{document.number}} è {{code}}. È valido per {{minutes}} minuti. Non comunicatelo a nessuno.', 'Codice per firmare {{document.number}}: {{code}} ({{minutes}} min). Non comunicatelo a nessuno.'),
  ('signature_code', 'fr', 'Votre code pour signer {{document.number}}',
   'votre code pour signer {{document.number}} est {{code}}. Il est valable {{minutes}} minutes. Ne le communiquez à personne.', 'Code pour signer {{document.number}} : {{code}} ({{minutes}} min). Ne le communiquez à personne.'),
  ('signature_code', 'es', 'Su código para firmar {{document.number}}',
   'su código para firmar {{document.number}} es {{code}}. Es válido durante {{minutes}} minutos. No lo comparta con nadie.', 'Código para firmar {{document.number}}: {{code}} ({{minutes}} min). No lo comparta con nadie.')
)
INSERT INTO o2c.builtin_template (kind, channel_kind, language, subject, body_text, body_html)
SELECT w.kind, c.channel_kind, w.language,
       CASE WHEN c.channel_kind <> 'sms' THEN w.subject || ' – {{company.name}}' END,
       CASE c.channel_kind WHEN 'sms' THEN '{{company.name}}: ' || w.sms
         ELSE l.salutation || E'\n\n' || w.body || E'\n\n' || l.regards
           || E'\n{{company.name}}\n{{#company.email}}\n' || l.contact || E' {{company.email}}\n{{/company.email}}\n' END,
       CASE WHEN c.channel_kind <> 'sms' THEN
         E'<!DOCTYPE html>\n<html lang="' || w.language || E'"><head><meta charset="utf-8"><title>' || w.subject
         || E'</title></head>\n<body style="font-family: sans-serif; font-size: 11pt; color: #222">\n'
         || CASE c.channel_kind WHEN 'post' THEN
              E'<p>{{customer.name}}<br>{{#customer.street}}{{customer.street}}<br>{{/customer.street}}{{customer.postal_code}} {{customer.city}}</p>\n<p>{{today}}</p>\n' ELSE '' END
         || '<p>' || l.salutation || E'</p>\n<p>' || w.body || E'</p>\n<p>' || l.regards || E'<br>{{company.name}}'
         || '{{#company.email}}<br>' || l.contact || E' {{company.email}}{{/company.email}}</p>\n</body></html>\n' END
FROM letter w JOIN label l USING (language)
CROSS JOIN (VALUES ('email'), ('sms'), ('post')) c(channel_kind)
ON CONFLICT DO NOTHING;

WITH label (language, subject, salutation, intro, date, number, text, amount, balance, overdue, account, regards) AS (VALUES
  ('en', 'Statement of account to {{to_date}}', 'Dear Sir or Madam,', 'your account with us from {{from_date}} to {{to_date}}:',
   'Date', 'Number', 'Text', 'Amount', 'Balance', 'of which overdue', 'Our account', 'Kind regards'),
  ('de', 'Kontoauszug zum {{to_date}}', 'Sehr geehrte Damen und Herren,', 'Ihr Konto bei uns vom {{from_date}} bis {{to_date}}:',
   'Datum', 'Nummer', 'Text', 'Betrag', 'Saldo', 'davon überfällig', 'Unsere Bankverbindung', 'Mit freundlichen Grüßen'),
  ('it', 'Estratto conto al {{to_date}}', 'Gentili Signore e Signori,', 'il vostro conto presso di noi dal {{from_date}} al {{to_date}}:',
   'Data', 'Numero', 'Testo', 'Importo', 'Saldo', 'di cui scaduto', 'Le nostre coordinate bancarie', 'Cordiali saluti'),
  ('fr', 'Relevé de compte au {{to_date}}', 'Madame, Monsieur,', 'votre compte chez nous du {{from_date}} au {{to_date}} :',
   'Date', 'Numéro', 'Libellé', 'Montant', 'Solde', 'dont échu', 'Nos coordonnées bancaires', 'Cordialement'),
  ('es', 'Estado de cuenta a {{to_date}}', 'Estimados señores:', 'su cuenta con nosotros del {{from_date}} al {{to_date}}:',
   'Fecha', 'Número', 'Texto', 'Importe', 'Saldo', 'de ello vencido', 'Nuestra cuenta bancaria', 'Atentamente')
)
INSERT INTO o2c.builtin_template (kind, channel_kind, language, subject, body_text, body_html)
SELECT 'statement', c.channel_kind, l.language,
       CASE WHEN c.channel_kind <> 'sms' THEN l.subject || ' – {{company.name}}' END,
       CASE WHEN c.channel_kind = 'sms' THEN '{{company.name}}: ' || l.balance || ' {{to_date}}: {{balance}}'
         ELSE l.salutation || E'\n\n' || l.intro
           || E'\n\n{{#lines}}\n* {{date}}, {{number}} {{text}}: {{amount}} {{currency}} ({{balance}})\n{{/lines}}\n\n'
           || l.balance || E': {{balance}}\n{{#overdue}}\n' || l.overdue || E': {{overdue}}\n{{/overdue}}\n'
           || E'{{#bank.iban}}\n\n' || l.account || E': IBAN {{bank.iban}}{{#bank.bic}}, BIC {{bank.bic}}{{/bank.bic}}\n{{/bank.iban}}\n\n'
           || l.regards || E'\n{{company.name}}\n' END,
       CASE WHEN c.channel_kind <> 'sms' THEN
         E'<!DOCTYPE html>\n<html lang="' || l.language || E'"><head><meta charset="utf-8"><title>' || l.subject
         || E'</title></head>\n<body style="font-family: sans-serif; font-size: 11pt; color: #222">\n'
         || CASE c.channel_kind WHEN 'post' THEN
              E'<p>{{customer.name}}<br>{{#customer.street}}{{customer.street}}<br>{{/customer.street}}{{customer.postal_code}} {{customer.city}}</p>\n<p>{{today}}</p>\n' ELSE '' END
         || '<p>' || l.salutation || E'</p>\n<p>' || l.intro
         || E'</p>\n<table style="border-collapse: collapse" cellpadding="4">\n<tr style="border-bottom: 1px solid #999"><th align="left">'
         || l.date || '</th><th align="left">' || l.number || '</th><th align="left">' || l.text || '</th><th align="right">' || l.amount
         || '</th><th align="right">' || l.balance || E'</th></tr>\n'
         || E'{{#lines}}\n<tr><td>{{date}}</td><td>{{number}}</td><td>{{text}}</td><td align="right">{{amount}} {{currency}}</td><td align="right">{{balance}}</td></tr>\n{{/lines}}\n</table>\n'
         || '<p><b>' || l.balance || ': {{balance}}</b>{{#overdue}}<br>' || l.overdue || E': {{overdue}}{{/overdue}}</p>\n'
         || E'{{#bank.iban}}\n<p>' || l.account || E': IBAN {{bank.iban}}{{#bank.bic}}, BIC {{bank.bic}}{{/bank.bic}}</p>\n{{/bank.iban}}\n'
         || '<p>' || l.regards || E'<br>{{company.name}}</p>\n</body></html>\n' END
FROM label l CROSS JOIN (VALUES ('email'), ('sms'), ('post')) c(channel_kind)
ON CONFLICT DO NOTHING;
