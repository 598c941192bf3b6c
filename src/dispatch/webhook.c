/*
 * webhook.c
 *		Signatures as Standard Webhooks defines them, both ways.
 *
 * HMAC-SHA256 over "id.timestamp.body" with the key that stands in base64
 * after "whsec_"; the header holds "v1,<base64>", several of them while keys
 * are rotated.
 */
#include "o2c.h"

#include "common/base64.h"
#include "common/hmac.h"
#include "common/sha2.h"
#include "utils/builtins.h"

#include "dispatch/worker.h"

PG_FUNCTION_INFO_V1(o2c_webhook_sign);
PG_FUNCTION_INFO_V1(o2c_webhook_verify);

/* Raw key of a secret: base64 after whsec_, or the bytes themselves. */
static char *
SecretKey(const char *secret, int *len)
{
	const char *b64 = strncmp(secret, "whsec_", 6) == 0 ? secret + 6 : secret;
	int			max = pg_b64_dec_len(strlen(b64)) + 1;
	char	   *key = palloc(max);

	*len = pg_b64_decode(b64, strlen(b64), (void *) key, max);
	if (*len <= 0)
	{
		*len = strlen(secret);
		return pstrdup(secret);
	}
	return key;
}

/* "v1,<base64>" over id.timestamp.body, palloc'd. */
char *
WebhookSignature(const char *secret, const char *id, int64 timestamp,
				 const char *body, size_t len)
{
	uint8		mac[PG_SHA256_DIGEST_LENGTH];
	char		stamp[32];
	int			keylen;
	char	   *key = SecretKey(secret, &keylen);
	char	   *out = palloc(80);
	pg_hmac_ctx *ctx = pg_hmac_create(PG_SHA256);
	int			n;

	snprintf(stamp, sizeof(stamp), "." INT64_FORMAT ".", timestamp);
	if (ctx == NULL ||
		pg_hmac_init(ctx, (uint8 *) key, keylen) < 0 ||
		pg_hmac_update(ctx, (const uint8 *) id, strlen(id)) < 0 ||
		pg_hmac_update(ctx, (const uint8 *) stamp, strlen(stamp)) < 0 ||
		pg_hmac_update(ctx, (const uint8 *) body, len) < 0 ||
		pg_hmac_final(ctx, mac, sizeof(mac)) < 0)
	{
		pg_hmac_free(ctx);
		elog(ERROR, "could not compute a signature");
	}
	pg_hmac_free(ctx);
	memcpy(out, "v1,", 3);
	n = pg_b64_encode((void *) mac, sizeof(mac), out + 3, 76);
	out[3 + n] = '\0';
	memset(key, 0, keylen);
	return out;
}

/* webhook_signature(secret, id, sent_at, body): "v1,<base64>". */
Datum
o2c_webhook_sign(PG_FUNCTION_ARGS)
{
	bytea	   *body = PG_GETARG_BYTEA_PP(3);

	PG_RETURN_TEXT_P(cstring_to_text(WebhookSignature(text_to_cstring(PG_GETARG_TEXT_PP(0)),
													  text_to_cstring(PG_GETARG_TEXT_PP(1)),
													  PG_GETARG_INT64(2),
													  VARDATA_ANY(body),
													  VARSIZE_ANY_EXHDR(body))));
}

/*
 * verify_webhook(secret, id, sent_at, signatures, body, now): true when one of
 * the signatures is right and sent_at is within five minutes of now.
 */
Datum
o2c_webhook_verify(PG_FUNCTION_ARGS)
{
	char	   *secret = text_to_cstring(PG_GETARG_TEXT_PP(0));
	char	   *id = text_to_cstring(PG_GETARG_TEXT_PP(1));
	int64		sent_at = PG_GETARG_INT64(2);
	char	   *signatures = text_to_cstring(PG_GETARG_TEXT_PP(3));
	bytea	   *body = PG_GETARG_BYTEA_PP(4);
	int64		now = PG_GETARG_INT64(5);
	char	   *expected;
	bool		found = false;

	if (sent_at < now - 300 || sent_at > now + 300)
		PG_RETURN_BOOL(false);
	expected = WebhookSignature(secret, id, sent_at, VARDATA_ANY(body), VARSIZE_ANY_EXHDR(body));
	for (char *one = strtok(signatures, " "); one != NULL; one = strtok(NULL, " "))
	{
		unsigned char diff = strlen(one) != strlen(expected);

		/* every byte is compared, whatever the first ones say */
		for (size_t i = 0; i < strlen(expected); i++)
			diff |= expected[i] ^ (i < strlen(one) ? one[i] : 0);
		found |= diff == 0;
	}
	PG_RETURN_BOOL(found);
}
