/* SPDX-License-Identifier: MIT */
#include "routes.h"

#include "files.h"
#include "response.h"
#include "sort.h"
#include "target.h"

void routes_answer(struct output *out, const struct request *request, int root)
{
    struct target target;

    if (request->method != HTTP_GET && request->method != HTTP_HEAD)
        response_error(out, request, 405);
    else if (request->target.length == 1 && request->target.at[0] == '/')
        response_hello(out, request); /* as below, without taking the target apart */
    else if (target_parse(request->target, &target) < 0)
        response_error(out, request, 400);
    else if (strcmp(target.path, "/") == 0)
        response_hello(out, request);
    else if (strcmp(target.path, "/sort") == 0)
        sort_answer(out, request, &target);
    else if (root >= 0)
        files_answer(out, request, root, target.path);
    else
        response_error(out, request, 404);
}
