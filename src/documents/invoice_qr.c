/*
 * invoice_qr.c
 *		A QR code as SVG, by libqrencode.
 *
 * The picture is one path of squares in a view box of modules, with the quiet
 * zone of four modules that readers need; its size is the page's to choose.
 */
#include "o2c.h"

#include <qrencode.h>

#include "lib/stringinfo.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(o2c_qr_svg);

#define QUIET_ZONE	4

/* qr_svg(content, level): level is L, M, Q or H, how much damage it survives. */
Datum
o2c_qr_svg(PG_FUNCTION_ARGS)
{
	text	   *content = PG_GETARG_TEXT_PP(0);
	char	   *level = text_to_cstring(PG_GETARG_TEXT_PP(1));
	static const char levels[] = "LMQH";
	const char *found = strlen(level) == 1 ? strchr(levels, level[0]) : NULL;
	QRcode	   *code;
	StringInfoData svg;
	int			size;

	if (found == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_O2C_INVALID_ARGUMENT),
				 errmsg("\"%s\" is not a level of error correction", level),
				 errhint("Use L, M, Q or H.")));
	if (VARSIZE_ANY_EXHDR(content) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_O2C_INVALID_ARGUMENT),
				 errmsg("a QR code needs content")));
	code = QRcode_encodeData(VARSIZE_ANY_EXHDR(content),
							 (const unsigned char *) VARDATA_ANY(content), 0,
							 (QRecLevel) (QR_ECLEVEL_L + (found - levels)));
	if (code == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_O2C_INVALID_ARGUMENT),
				 errmsg("the content is too long for a QR code"),
				 errdetail("It has %d bytes.", (int) VARSIZE_ANY_EXHDR(content))));

	initStringInfo(&svg);
	size = code->width + 2 * QUIET_ZONE;
	appendStringInfo(&svg, "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" shape-rendering=\"crispEdges\">"
					 "<rect width=\"%d\" height=\"%d\" fill=\"#fff\"/><path d=\"", size, size, size, size);
	for (int y = 0; y < code->width; y++)
	{
		for (int x = 0; x < code->width;)
		{
			int			from = x;

			/* a run of dark modules is one rectangle */
			while (x < code->width && (code->data[y * code->width + x] & 1))
				x++;
			if (x > from)
				appendStringInfo(&svg, "M%d %dh%dv1h-%dz", from + QUIET_ZONE, y + QUIET_ZONE,
								 x - from, x - from);
			else
				x++;
		}
	}
	QRcode_free(code);
	appendStringInfoString(&svg, "\" fill=\"#000\"/></svg>");
	PG_RETURN_TEXT_P(cstring_to_text_with_len(svg.data, svg.len));
}
