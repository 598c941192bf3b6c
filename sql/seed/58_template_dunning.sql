-- Built-in reminders in five languages.  What differs between languages and
-- levels are sentences; layout is composed here once.

WITH label (language, salutation, number, date, due, amount, total, fee, interest, charges,
            pay_by, paid, account, questions, regards, statement, sms) AS (VALUES
  ('en', 'Dear Sir or Madam,', 'Number', 'Date', 'Due on', 'Amount', 'Total', 'Reminder fee', 'Interest', 'Earlier charges',
   'Please pay by {{pay_by}}, quoting {{bank.reference}}.',
   'If you have paid in the meantime, please disregard this message.', 'Our account', 'Questions? Reach us at', 'Kind regards',
   'Statement of your account', 'Please pay by {{pay_by}}.'),
  ('de', 'Sehr geehrte Damen und Herren,', 'Nummer', 'Datum', 'Fällig am', 'Betrag', 'Summe', 'Mahngebühr', 'Verzugszinsen', 'Frühere Gebühren',
   'Bitte zahlen Sie bis zum {{pay_by}} unter Angabe von {{bank.reference}}.',
   'Falls Sie inzwischen gezahlt haben, betrachten Sie dieses Schreiben bitte als gegenstandslos.', 'Unsere Bankverbindung', 'Fragen? Sie erreichen uns unter', 'Mit freundlichen Grüßen',
   'Ihr Kontoauszug', 'Bitte zahlen Sie bis zum {{pay_by}}.'),
  ('it', 'Gentili Signore e Signori,', 'Numero', 'Data', 'Scadenza', 'Importo', 'Totale', 'Spese di sollecito', 'Interessi di mora', 'Spese precedenti',
   'Vi preghiamo di pagare entro il {{pay_by}} indicando {{bank.reference}}.',
   'Se avete già provveduto al pagamento, vi preghiamo di non tenere conto di questa comunicazione.', 'Le nostre coordinate bancarie', 'Domande? Potete contattarci a', 'Cordiali saluti',
   'Il vostro estratto conto', 'Si prega di pagare entro il {{pay_by}}.'),
  ('fr', 'Madame, Monsieur,', 'Numéro', 'Date', 'Échéance', 'Montant', 'Total', 'Frais de rappel', 'Intérêts de retard', 'Frais antérieurs',
   'Nous vous prions de régler au plus tard le {{pay_by}} en indiquant {{bank.reference}}.',
   'Si vous avez réglé entre-temps, veuillez ne pas tenir compte de ce message.', 'Nos coordonnées bancaires', 'Des questions ? Vous pouvez nous joindre à', 'Cordialement',
   'Votre relevé de compte', 'Merci de régler avant le {{pay_by}}.'),
  ('es', 'Estimados señores:', 'Número', 'Fecha', 'Vencimiento', 'Importe', 'Total', 'Gastos de reclamación', 'Intereses de demora', 'Gastos anteriores',
   'Les rogamos que paguen antes del {{pay_by}} indicando {{bank.reference}}.',
   'Si ya han efectuado el pago, no tengan en cuenta este mensaje.', 'Nuestra cuenta bancaria', '¿Preguntas? Pueden contactarnos en', 'Atentamente',
   'Su estado de cuenta', 'Rogamos el pago antes del {{pay_by}}.')
), letter (kind, language, subject, intro, closing, sms) AS (VALUES
  ('dunning_friendly', 'en', 'Upcoming payment: {{total}}',
   'may we remind you that the following will soon be due:', 'Thank you for your business.', '{{total}} will soon be due.'),
  ('dunning_1', 'en', 'Payment reminder: {{total}}',
   'it may have escaped your attention that the following is past its due date:', 'Thank you for settling it soon.', 'Reminder: {{total}} is overdue.'),
  ('dunning_2', 'en', 'Second payment reminder: {{total}}',
   'despite our reminder we have not yet received payment for the following:', 'Please contact us if something prevents you from paying.', 'Second reminder: {{total}} is overdue.'),
  ('dunning_3', 'en', 'Final reminder: {{total}}',
   'in spite of our reminders the following is still unpaid:',
   'If we receive no payment by this date, we will have to stop deliveries and hand the claim over for collection.', 'Final reminder: {{total}} is overdue.'),
  ('dunning_friendly', 'de', 'Bevorstehende Fälligkeit: {{total}}',
   'wir möchten Sie freundlich daran erinnern, dass Folgendes demnächst fällig wird:', 'Vielen Dank für die gute Zusammenarbeit.', '{{total}} wird demnächst fällig.'),
  ('dunning_1', 'de', 'Zahlungserinnerung: {{total}}',
   'sicher ist es Ihrer Aufmerksamkeit entgangen, dass Folgendes bereits fällig war:', 'Vielen Dank für eine baldige Zahlung.', 'Zahlungserinnerung: {{total}} sind überfällig.'),
  ('dunning_2', 'de', '2. Mahnung: {{total}}',
   'trotz unserer Zahlungserinnerung konnten wir für Folgendes noch keinen Zahlungseingang feststellen:', 'Bitte melden Sie sich bei uns, falls der Zahlung etwas entgegensteht.', '2. Mahnung: {{total}} sind überfällig.'),
  ('dunning_3', 'de', 'Letzte Mahnung: {{total}}',
   'trotz unserer Mahnungen ist Folgendes noch immer unbezahlt:',
   'Geht bis zu diesem Tag keine Zahlung ein, müssen wir die Lieferungen einstellen und die Forderung zur Beitreibung abgeben.', 'Letzte Mahnung: {{total}} sind überfällig.'),
  ('dunning_friendly', 'it', 'Pagamento in scadenza: {{total}}',
   'vi ricordiamo cortesemente che sta per scadere quanto segue:', 'Grazie per la collaborazione.', '{{total}} in scadenza a breve.'),
  ('dunning_1', 'it', 'Promemoria di pagamento: {{total}}',
   'probabilmente vi è sfuggito che quanto segue risulta scaduto:', 'Grazie per un sollecito pagamento.', 'Promemoria: {{total}} risultano scaduti.'),
  ('dunning_2', 'it', 'Secondo sollecito di pagamento: {{total}}',
   'nonostante il nostro promemoria non abbiamo ancora ricevuto il pagamento di quanto segue:', 'Vi preghiamo di contattarci se qualcosa impedisce il pagamento.', 'Secondo sollecito: {{total}} risultano scaduti.'),
  ('dunning_3', 'it', 'Ultimo sollecito: {{total}}',
   'nonostante i nostri solleciti quanto segue risulta ancora non pagato:',
   'In mancanza di pagamento entro tale data dovremo sospendere le forniture e affidare il recupero del credito a terzi.', 'Ultimo sollecito: {{total}} risultano scaduti.'),
  ('dunning_friendly', 'fr', 'Échéance prochaine : {{total}}',
   'nous nous permettons de vous rappeler que les sommes suivantes arrivent bientôt à échéance :', 'Nous vous remercions de votre confiance.', '{{total}} bientôt à échéance.'),
  ('dunning_1', 'fr', 'Rappel de paiement : {{total}}',
   'il vous a sans doute échappé que les sommes suivantes sont échues :', 'Nous vous remercions de votre prochain règlement.', 'Rappel : {{total}} en retard de paiement.'),
  ('dunning_2', 'fr', 'Deuxième rappel de paiement : {{total}}',
   'malgré notre rappel, nous n''avons pas encore reçu le règlement des sommes suivantes :', 'Veuillez nous contacter si quelque chose empêche le paiement.', 'Deuxième rappel : {{total}} en retard de paiement.'),
  ('dunning_3', 'fr', 'Mise en demeure : {{total}}',
   'malgré nos rappels, les sommes suivantes restent impayées :',
   'À défaut de paiement à cette date, nous devrons suspendre les livraisons et confier la créance au recouvrement.', 'Mise en demeure : {{total}} en retard de paiement.'),
  ('dunning_friendly', 'es', 'Próximo vencimiento: {{total}}',
   'les recordamos amablemente que pronto vencerá lo siguiente:', 'Gracias por su confianza.', '{{total}} vencerá pronto.'),
  ('dunning_1', 'es', 'Recordatorio de pago: {{total}}',
   'seguramente se les ha pasado por alto que lo siguiente ya ha vencido:', 'Gracias por su pronto pago.', 'Recordatorio: {{total}} pendiente de pago.'),
  ('dunning_2', 'es', 'Segundo recordatorio de pago: {{total}}',
   'a pesar de nuestro recordatorio, aún no hemos recibido el pago de lo siguiente:', 'Pónganse en contacto con nosotros si algo impide el pago.', 'Segundo recordatorio: {{total}} pendiente de pago.'),
  ('dunning_3', 'es', 'Último aviso: {{total}}',
   'a pesar de nuestros recordatorios, lo siguiente sigue sin pagarse:',
   'Si no recibimos el pago antes de esa fecha, tendremos que suspender los suministros y ceder la reclamación para su cobro.', 'Último aviso: {{total}} pendiente de pago.')
)
INSERT INTO o2c.builtin_template (kind, channel_kind, language, subject, body_text, body_html)
SELECT w.kind, c.channel_kind, w.language,
       CASE WHEN c.channel_kind <> 'sms' THEN w.subject || ' – {{company.name}}' END,
       CASE c.channel_kind
         WHEN 'sms' THEN '{{company.name}}: ' || w.sms || ' ' || l.sms
         ELSE
           CASE c.channel_kind WHEN 'post' THEN
             E'{{customer.name}}\n{{#customer.street}}\n{{customer.street}}\n{{/customer.street}}\n{{customer.postal_code}} {{customer.city}}\n\n{{today}}\n\n' ELSE '' END
           || l.salutation || E'\n\n' || w.intro
           || E'\n\n{{#items}}\n* {{number}}, ' || l.date || ': {{date}}, ' || l.due || E': {{due_date}}, {{open_amount}} {{currency}}\n{{/items}}\n'
           || E'{{#interest}}\n* ' || l.interest || E': {{interest}}\n{{/interest}}\n'
           || E'{{#fee}}\n* ' || l.fee || E': {{fee}}\n{{/fee}}\n'
           || E'{{#charges}}\n* ' || l.charges || E': {{charges}}\n{{/charges}}\n'
           || E'\n' || l.total || E': {{total}}\n\n' || l.pay_by
           || E'\n{{#bank.iban}}\n' || l.account || E': IBAN {{bank.iban}}{{#bank.bic}}, BIC {{bank.bic}}{{/bank.bic}}\n{{/bank.iban}}\n'
           || E'\n' || w.closing || E'\n' || l.paid
           || E'\n{{#statement}}\n\n' || l.statement || E':\n{{#lines}}\n* {{number}}, {{date}}, {{due_date}}: {{open_amount}} {{currency}}\n{{/lines}}\n{{/statement}}\n'
           || E'\n' || l.regards || E'\n{{company.name}}\n{{#company.email}}\n' || l.questions || E' {{company.email}}\n{{/company.email}}\n'
       END,
       CASE WHEN c.channel_kind <> 'sms' THEN
         E'<!DOCTYPE html>\n<html lang="' || w.language || E'"><head><meta charset="utf-8"><title>' || w.subject
         || E'</title></head>\n<body style="font-family: sans-serif; font-size: 11pt; color: #222">\n'
         || CASE c.channel_kind WHEN 'post' THEN
              E'<p>{{customer.name}}<br>{{#customer.street}}{{customer.street}}<br>{{/customer.street}}{{customer.postal_code}} {{customer.city}}</p>\n<p>{{today}}</p>\n' ELSE '' END
         || '<p>' || l.salutation || E'</p>\n<p>' || w.intro || E'</p>\n'
         || E'<table style="border-collapse: collapse" cellpadding="4">\n<tr style="border-bottom: 1px solid #999"><th align="left">' || l.number
         || '</th><th align="left">' || l.date || '</th><th align="left">' || l.due || '</th><th align="right">' || l.amount || E'</th></tr>\n'
         || E'{{#items}}\n<tr><td>{{number}}</td><td>{{date}}</td><td>{{due_date}}</td><td align="right">{{open_amount}} {{currency}}</td></tr>\n{{/items}}\n'
         || E'{{#interest}}\n<tr><td colspan="3">' || l.interest || E'</td><td align="right">{{interest}}</td></tr>\n{{/interest}}\n'
         || E'{{#fee}}\n<tr><td colspan="3">' || l.fee || E'</td><td align="right">{{fee}}</td></tr>\n{{/fee}}\n'
         || E'{{#charges}}\n<tr><td colspan="3">' || l.charges || E'</td><td align="right">{{charges}}</td></tr>\n{{/charges}}\n'
         || '<tr style="border-top: 1px solid #999"><td colspan="3"><b>' || l.total || E'</b></td><td align="right"><b>{{total}}</b></td></tr>\n</table>\n'
         || '<p>' || l.pay_by || E'</p>\n{{#bank.iban}}\n<p>' || l.account || E': IBAN {{bank.iban}}{{#bank.bic}}, BIC {{bank.bic}}{{/bank.bic}}</p>\n{{/bank.iban}}\n'
         || '<p>' || w.closing || '<br>' || l.paid || E'</p>\n{{#statement}}\n<p>' || l.statement
         || E'</p>\n<table cellpadding="4">\n{{#lines}}\n<tr><td>{{number}}</td><td>{{date}}</td><td>{{due_date}}</td><td align="right">{{open_amount}} {{currency}}</td></tr>\n{{/lines}}\n</table>\n{{/statement}}\n<p>' || l.regards || E'<br>{{company.name}}</p>\n'
         || E'</body></html>\n'
       END
FROM letter w JOIN label l USING (language)
CROSS JOIN (VALUES ('email'), ('sms'), ('post')) c(channel_kind)
ON CONFLICT DO NOTHING;
