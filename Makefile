# order2cash: build, install and test with PGXS.
#
# The install script sql/order2cash--VERSION.sql is assembled from sql/ in
# the order given here; the version stands in order2cash.control alone.

EXTENSION = order2cash
EXTVERSION := $(shell sed -n "s/^default_version *= *'\(.*\)'/\1/p" order2cash.control)
MODULE_big = order2cash

# Domains in dependency order.  The same word names sql/functions/, sql/tables/,
# sql/views/, test/pgtap/ and docs/reference/.

FUNCTION_FILES = \
	sql/functions/05_install.sql \
	sql/functions/06_check.sql \
	sql/functions/09_guard.sql \
	sql/functions/07_lifecycle.sql \
	\
	sql/functions/10_company.sql \
	sql/functions/12_calendar.sql \
	sql/functions/12_term.sql \
	sql/functions/13_tax.sql \
	\
	sql/functions/15_party.sql \
	\
	sql/functions/20_catalog.sql sql/functions/21_price.sql \
	\
	sql/functions/30_order.sql sql/functions/31_order_confirm.sql \
	sql/functions/32_order_import.sql \
	\
	sql/functions/35_credit.sql sql/functions/36_credit_rule.sql \
	\
	sql/functions/40_fulfilment.sql \
	\
	sql/functions/44_letter.sql \
	sql/functions/45_number.sql \
	sql/functions/45_invoice.sql \
	sql/functions/45_invoice_rules.sql \
	sql/functions/45_invoice_billing.sql \
	sql/functions/45_invoice_recurring.sql \
	sql/functions/45_invoice_issue.sql \
	sql/functions/45_invoice_credit.sql \
	sql/functions/45_invoice_debit.sql \
	sql/functions/45_invoice_ubl.sql \
	sql/functions/45_invoice_html.sql \
	sql/functions/45_invoice_check.sql \
	sql/functions/45_order_ubl.sql \
	\
	sql/functions/50_receivable.sql \
	sql/functions/51_aging.sql \
	\
	sql/functions/54_statement_file.sql \
	sql/functions/54_camt.sql \
	sql/functions/54_statement.sql sql/functions/54_bank_line.sql \
	\
	sql/functions/55_payment.sql sql/functions/55_proposal.sql sql/functions/55_match_text.sql sql/functions/55_match.sql sql/functions/55_match_decide.sql sql/functions/55_history.sql \
	sql/functions/56_payment_order.sql \
	\
	sql/functions/58_template.sql \
	sql/functions/60_collection.sql \
	sql/functions/61_dunning_plan.sql \
	sql/functions/62_charge.sql \
	sql/functions/63_dunning.sql \
	sql/functions/64_account_letter.sql \
	\
	sql/functions/65_dispatch.sql \
	sql/functions/66_worker.sql \
	sql/functions/67_event_message.sql \
	\
	sql/functions/70_dispute.sql \
	\
	sql/functions/80_analytics.sql \
	sql/functions/81_profit.sql \
	sql/functions/82_dashboard.sql \
	sql/functions/83_statement_html.sql \
	\
	sql/functions/85_jobs.sql

# What install() creates once, then what install() and migrate() replay.
TABLE_FILES = \
	sql/tables/05_role.sql \
	\
	sql/tables/10_company.sql \
	\
	sql/tables/12_term.sql \
	sql/tables/12_calendar.sql \
	\
	sql/tables/13_tax.sql \
	\
	sql/tables/15_party.sql \
	\
	sql/tables/20_catalog.sql sql/tables/21_price.sql \
	\
	sql/tables/30_order.sql \
	\
	sql/tables/35_credit.sql \
	\
	sql/tables/40_fulfilment.sql \
	\
	sql/tables/44_billing.sql \
	sql/tables/45_number.sql \
	sql/tables/45_invoice.sql \
	\
	sql/tables/50_receivable.sql \
	\
	sql/tables/52_exposure.sql \
	\
	sql/tables/54_statement.sql \
	\
	sql/tables/55_payment.sql \
	sql/tables/56_payment_order.sql \
	\
	sql/tables/58_template.sql \
	sql/tables/60_collection.sql \
	\
	sql/tables/65_dispatch.sql \
	\
	sql/tables/70_dispute.sql \
	\
	sql/tables/80_analytics.sql \
	\
	sql/tables/85_jobs.sql \
	\
	sql/tables/95_keys.sql \
	sql/tables/96_guard.sql

SEED_FILES = \
	sql/seed/10_company.sql \
	sql/seed/45_invoice.sql \
	\
	sql/seed/58_template_kind.sql \
	sql/seed/58_template_dunning.sql \
	sql/seed/58_template_event.sql \
	sql/seed/60_collection.sql \
	sql/seed/65_dispatch.sql

VIEW_FILES = \
	sql/views/01_types.sql \
	\
	sql/views/10_company.sql \
	sql/views/12_calendar.sql \
	sql/views/12_term.sql \
	sql/views/13_tax.sql \
	\
	sql/views/15_party.sql \
	\
	sql/views/20_catalog.sql \
	\
	sql/views/30_order.sql \
	\
	sql/views/35_credit.sql \
	\
	sql/views/40_fulfilment.sql \
	\
	sql/views/45_invoice.sql \
	\
	sql/views/50_receivable.sql \
	\
	sql/views/54_statement.sql \
	\
	sql/views/55_payment.sql \
	sql/views/56_payment_order.sql \
	\
	sql/views/58_template.sql \
	sql/views/60_collection.sql \
	\
	sql/views/65_dispatch.sql \
	\
	sql/views/70_dispute.sql \
	sql/views/80_analytics.sql \
	sql/views/81_comments.sql \
	\
	sql/views/85_jobs.sql \
	\
	sql/views/90_security.sql

OBJS_base = src/order2cash.o src/trigger_frame.o src/direct_scan.o src/row_reader.o src/records.o src/table_exprs.o src/table_writer.o src/company.o src/once.o src/jobs.o

OBJS_types = src/types/code.o src/types/currency.o src/types/iban.o \
	src/types/reference.o src/types/plain.o

OBJS_lifecycle = src/lifecycle/machines.o src/lifecycle/guard.o src/lifecycle/log.o \
	src/lifecycle/four_eyes.o src/lifecycle/history.o src/lifecycle/hold.o src/lifecycle/order_lines.o src/lifecycle/shipments.o

OBJS_credit = src/credit/account.o src/credit/alert.o src/credit/customers.o \
	src/credit/horizon.o src/credit/invoices.o src/credit/items.o src/credit/orders.o \
	src/credit/account_move.o src/credit/lock.o src/credit/quick.o src/credit/receipts.o src/credit/screen.o src/credit/settle.o

OBJS_invoicing = src/invoicing/numbering.o src/invoicing/number_pattern.o src/invoicing/guard.o src/invoicing/assign.o src/invoicing/write_number.o \
	src/invoicing/issue.o src/invoicing/early_release.o src/invoicing/series_lock.o src/invoicing/correction.o

OBJS_receivables = src/receivables/append_only.o src/receivables/posting.o src/receivables/post_items.o src/receivables/item_keys.o src/receivables/post_entries.o src/receivables/post_allocations.o src/receivables/item_change.o src/receivables/balances.o src/receivables/item_guard.o src/receivables/entry_rights.o src/receivables/payment_fit.o src/receivables/journal.o

OBJS_aging = src/receivables/aging.o src/receivables/aging_number.o src/receivables/aging_lines.o src/receivables/aging_report.o

OBJS_collection = src/receivables/collection.o

OBJS_cash = src/cash/statement.o src/cash/statement_text.o src/cash/mt940.o src/cash/mt940_movement.o src/cash/mt940_details.o src/cash/mt940_subfields.o \
	src/cash/bai2.o src/cash/coda.o src/cash/ofx.o src/cash/csv.o src/cash/camt_split.o src/cash/camt_text.o src/cash/open_lines.o
OBJS_match = src/cash/fold.o src/cash/tokenise.o src/cash/marks.o src/cash/text_keys.o src/cash/word.o src/cash/code.o src/cash/reference.o src/cash/similar.o src/cash/subset.o src/cash/cite.o src/cash/weigh.o src/cash/weigh_cited.o src/cash/weigh_excess.o src/cash/weigh_help.o src/cash/weigh_strange.o src/cash/weigh_words.o src/cash/match_stream.o src/cash/match_rounds.o src/cash/match_decide.o src/cash/keys.o \
	src/cash/gather.o src/cash/gather_again.o src/cash/gather_lines.o src/cash/gather_pairs.o src/cash/gather_answers.o src/cash/gather_book.o src/cash/item_facts.o src/cash/row_shape.o src/cash/party.o

OBJS_dispatch = src/dispatch/outbox.o src/dispatch/address.o src/dispatch/hosts.o \
	src/dispatch/control.o src/dispatch/launcher.o \
	src/dispatch/worker.o src/dispatch/loop.o src/dispatch/pace.o src/dispatch/work.o src/dispatch/channel.o src/dispatch/lane.o src/dispatch/claim.o src/dispatch/record.o \
	src/dispatch/pump.o src/dispatch/transfer.o src/dispatch/mail.o \
	src/dispatch/variables.o src/dispatch/request.o src/dispatch/reply.o src/dispatch/compose.o \
	src/dispatch/recorder.o src/dispatch/secrets.o src/dispatch/webhook.o

OBJS_documents = src/documents/invoice_xml.o src/documents/invoice_qr.o src/documents/format.o src/documents/template_guard.o src/documents/template_parse.o src/documents/template_render.o

OBJS = $(OBJS_base) $(OBJS_types) $(OBJS_lifecycle) $(OBJS_credit) \
	$(OBJS_invoicing) $(OBJS_receivables) $(OBJS_aging) $(OBJS_collection) $(OBJS_cash) $(OBJS_match) $(OBJS_dispatch) \
	$(OBJS_documents)

SCRIPT = sql/order2cash--$(EXTVERSION).sql
DATA_built = $(SCRIPT)
EXTRA_CLEAN = $(SCRIPT)

PG_CONFIG ?= pg_config
PG_CPPFLAGS = -Isrc -DO2C_VERSION='"$(EXTVERSION)"' $(shell pkg-config --cflags libcurl libqrencode)
PG_CFLAGS = -Wall -Wextra -Wno-unused-parameter -Wno-sign-compare -Wno-missing-field-initializers
SHLIB_LINK = $(shell pkg-config --libs libcurl libqrencode)

# pg_regress and isolation tests are found by listing their folders.
REGRESS = $(sort $(notdir $(basename $(wildcard test/sql/*.sql))))
REGRESS_OPTS = --inputdir=test
ISOLATION = $(sort $(notdir $(basename $(wildcard test/specs/*.spec))))
ISOLATION_OPTS = --inputdir=test --outputdir=.

# These prepare what PGXS itself needs, so they come without it.
COMMANDS = deps check demo demo-stop bench docs
# by another name: make runs lines that name MAKE itself even under -n
THIS_MAKE := $(MAKE)
ifneq ($(filter $(COMMANDS),$(MAKECMDGOALS)),)
.PHONY: $(COMMANDS)
$(COMMANDS):
	@PG_CONFIG='$(PG_CONFIG)' MAKE='$(THIS_MAKE)' LAYER='$(LAYER)' FILE='$(FILE)' sh test/$@.sh
else

PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)

$(SCRIPT): sql/assemble.sh sql/00_header.sql sql/01_types.sql sql/02_states.sql sql/99_footer.sql \
		$(FUNCTION_FILES) $(TABLE_FILES) $(SEED_FILES) $(VIEW_FILES) order2cash.control Makefile
	sh sql/assemble.sh functions $(FUNCTION_FILES) tables $(TABLE_FILES) \
		seeds $(SEED_FILES) views $(VIEW_FILES) > $@.tmp
	mv $@.tmp $@

$(OBJS): src/o2c.h src/compat.h src/errors.h
$(OBJS_aging): src/receivables/aging.h src/receivables/aging_lines.h
src/cash/gather.o src/cash/gather_again.o src/cash/gather_lines.o src/cash/gather_pairs.o src/cash/gather_answers.o src/cash/gather_book.o src/cash/item_facts.o: src/cash/gather.h src/cash/cash.h
$(OBJS_dispatch) src/order2cash.o: src/dispatch/dispatch.h src/dispatch/worker.h

endif
