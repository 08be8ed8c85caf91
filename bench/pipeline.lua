-- SPDX-License-Identifier: MIT
-- wrk -s pipeline.lua URL DEPTH: sends DEPTH requests at once and waits for all the answers, each of which wrk counts.

local batch

function init(args)
    batch = string.rep(wrk.format(), tonumber(args[1]))
end

function request()
    return batch
end
