/*
 * company.c
 *		Who creates a company is its first member; and the library's version.
 */
#include "o2c.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(o2c_company_member_grant);
PG_FUNCTION_INFO_V1(o2c_library_version);

/*
 * o2c_company_member_grant(): AFTER INSERT ON company, for each statement, as
 * the owner, because the creator can't see the company before this.
 */
Datum
o2c_company_member_grant(PG_FUNCTION_ARGS)
{
	static KeptPlan grant = {
		.sql = "INSERT INTO o2c.company_member (company_id, role_name)"
		" SELECT n.company_id, $1 FROM new_rows n ON CONFLICT DO NOTHING",
		.nargs = 1,
		.argtypes = {NAMEOID}
	};
	TriggerData *trigdata = TriggerDataOf(fcinfo, "o2c_company_member_grant");
	TriggerFrame frame;
	NameData	creator;
	Datum		args[1];

	TriggerFrameBegin(&frame, trigdata);
	namestrcpy(&creator, GetUserNameFromId(frame.save_userid, false));
	args[0] = NameGetDatum(&creator);
	KeptPlanExecute(&grant, args, NULL, SPI_OK_INSERT);
	TriggerFrameEnd(&frame);
	return PointerGetDatum(NULL);
}

/* _library_version(): the version that this library was built from. */
Datum
o2c_library_version(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(cstring_to_text(O2C_VERSION));
}
