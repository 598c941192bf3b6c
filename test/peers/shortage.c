/*
 * shortage.c
 *		A lack of memory that can be turned on, for the tests: loaded before
 *		libcurl into a server, it makes no handles while the file O2C_SHORTAGE is.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <unistd.h>

void *
curl_easy_init(void)
{
	const char *path = getenv("O2C_SHORTAGE");
	void	   *(*real) (void) = (void *(*) (void)) dlsym(RTLD_NEXT, "curl_easy_init");

	return path != NULL && access(path, F_OK) == 0 ? NULL : real();
}
