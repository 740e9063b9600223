-- Synod's bytes in Wireshark and tshark (3.6 or later): agent frames (EtherType 0x88B5), SYN data behind the payload of
-- a TCP SYN, routed ARP (opcodes 201, 202). It only shows. The formats: docs/wire/. tests/unit/test_wireshark.py
-- compares all of it with agents/wire/.

local synod = Proto("synod", "Synod")

local KINDS = {
    [1] = "announce", [2] = "offer", [3] = "ended", [4] = "census",
    [5] = "answer",
    [16] = "state", [17] = "decided", [18] = "forget", [19] = "census_request",
    [20] = "question",
    [32] = "expect", [33] = "expected", [34] = "withdraw", [35] = "clear", [36] = "cleared",
    [37] = "keepalive", [38] = "begun", [39] = "pickup",
}
local ANSWERS = { [0] = "EXPECTED", [1] = "TAKEN", [2] = "NO_MASTER", [3] = "REFUSED" }
local ASKED = { [1] = "ASK", [2] = "ANSWER" }
local OPCODES = { [201] = "routed request", [202] = "routed reply" }
local MAX_UNITS, MAX_INTERFACES = 64, 16

-- Records by kind: name and type of each field, in their order.
local SESSION = { { "orig", "tuple" }, { "reply", "tuple" } }
local RECORDS = {
    offer = {
        { "offer_id", "u32" }, { "known_unit", "unit_or_none" }, { "in_interface", "interface" },
        { "out_interface", "interface" }, { "flags", "u8" }, { "orig", "tuple" }, { "reply", "tuple" },
    },
    decided = { { "offer_id", "u32" }, { "unit", "unit" }, { "zero", "pad3" } },
    ended = SESSION,
    forget = SESSION,
    census = { { "orig", "tuple" }, { "reply", "tuple" }, { "unit", "unit" }, { "zero", "pad3" } },
    census_request = {},
    question = { { "what", "u8" }, { "zero", "pad3" }, { "tuple12", "tuple" } },
    expect = {
        { "ask_id", "u32" }, { "protocol", "protocol" }, { "direction", "bit" }, { "flags", "u8" },
        { "translated", "bit" }, { "master", "tuple" }, { "tuple12", "tuple" }, { "mask", "endpoint" },
        { "nat", "endpoint" }, { "function", "text24" },
    },
    expected = { { "ask_id", "u32" }, { "answer", "answer" }, { "zero", "pad3" } },
    withdraw = { { "master", "tuple" }, { "tuple12", "tuple" }, { "protocol", "protocol" }, { "zero", "pad3" } },
    clear = { { "clear_id", "u32" }, { "orig", "tuple" }, { "reply", "tuple" } },
    cleared = { { "clear_id", "u32" } },
    keepalive = { { "unit", "unit" }, { "asked", "asked" }, { "zero", "pad2" }, { "nonce", "u64" } },
    begun = {
        { "orig", "tuple" }, { "reply", "tuple" }, { "master", "tuple" }, { "helper", "text16" },
        { "labels", "labels" }, { "mark", "mark" },
    },
}
-- Maps (msgpack): the fields that there are, in any order.
local MAPS = {
    announce = {
        unit = "number", group = "number", boot = "number", keys = "list", name = "text", version = "text", role = "text",
        primary = "number", term = "number", macs = "table", digest = "text", serving = "number",
        waiting = "number",
        resync = "number", hears = "list", missing = "list", adopted = "list", forfeited = "number",
        down = "list", synced = "list", counters = "table",
    },
    state = {
        boot = "number", role = "text", primary = "number", balancing = "bool", term = "number",
        adopt = "list", forfeit = "number", heir = "number", boots = "table",
    },
}
-- Bodies of bytes: a map, in parts, of which one frame need not have the whole; a packet of conntrackd's.
local BYTES = { answer = "part of a map: ", pickup = "an IPv4 packet: " }
local SYN_BODY = {
    { "unit", "unit" }, { "primary", "unit" }, { "interface", "interface" }, { "zero", "pad1" },
    { "mark", "mark" }, { "labels", "labels" }, { "reply", "tuple" },
}
-- Behind SYN data, and behind the body of what agents tell each other. It is shown, not verified: that takes the key.
local SEAL = {
    { "hint", "u8" }, { "unit", "unit" }, { "zero", "pad2" }, { "epoch", "u64" }, { "counter", "u64" }, { "tag", "tag" },
}
local SEAL_SIZE, OF_AGENTS = 36, 32
local SYN_TRAILER, SYN_SHORTEST = 8, 80
local SYN_OPTIONS = { [1] = "helper", [2] = "master" }

local SIZES = {
    u8 = 1, unit = 1, unit_or_none = 1, interface = 1, bit = 1, protocol = 1, answer = 1, pad1 = 1, pad2 = 2, pad3 = 3, asked = 1,
    u64 = 8, tag = 16, u32 = 4, mark = 4, endpoint = 6, tuple = 12, labels = 16, text16 = 16, text24 = 24,
}
local RANGES = {
    unit = { 1, MAX_UNITS }, unit_or_none = { 0, MAX_UNITS }, interface = { 1, MAX_INTERFACES }, bit = { 0, 1 },
    answer = { 0, 3 }, asked = { 1, 2 },
}

-- Fields ------------------------------------------------------------------------------------------------------------

local fields, all = {}, {}

local function declare(name, make, ...)
    fields[name] = make("synod." .. name, name, ...)
    all[#all + 1] = fields[name]
end

local function declare_typed(name, kind)
    if kind == "u32" then declare(name, ProtoField.uint32)
    elseif kind == "mark" then declare(name, ProtoField.uint32, base.HEX)
    elseif kind == "u64" then declare(name, ProtoField.uint64)
    elseif kind == "tag" then declare(name, ProtoField.bytes)
    elseif kind == "answer" then declare(name, ProtoField.uint8, base.DEC, ANSWERS)
    elseif kind == "asked" then declare(name, ProtoField.uint8, base.DEC, ASKED)
    elseif kind:find("^pad") then declare(name, ProtoField.bytes)
    elseif SIZES[kind] == 1 then declare(name, ProtoField.uint8)
    elseif kind == "number" then declare(name, ProtoField.uint64)
    elseif kind == "list" then declare(name, ProtoField.uint32)
    elseif kind == "bool" then declare(name, ProtoField.bool)
    else declare(name, ProtoField.string) end
end

for kind, layout in pairs(RECORDS) do
    for _, each in ipairs(layout) do declare_typed(kind .. "." .. each[1], each[2]) end
end
for kind, names in pairs(MAPS) do
    for name, what in pairs(names) do declare_typed(kind .. "." .. name, what) end
end
for _, each in ipairs(SYN_BODY) do declare_typed("syn." .. each[1], each[2]) end
for _, each in ipairs(SEAL) do declare_typed("seal." .. each[1], each[2]) end
declare("syn.helper", ProtoField.string)
declare("syn.master", ProtoField.string)
declare("syn.length", ProtoField.uint16)
declare("syn.version", ProtoField.uint8)
declare("syn.magic", ProtoField.string)
declare("version", ProtoField.uint8)
declare("kind", ProtoField.uint8, base.DEC, KINDS)
declare("group", ProtoField.uint8)
declare("unit", ProtoField.uint8)
declare("count", ProtoField.uint16)
declare("flags", ProtoField.uint8, base.HEX)
declare("token", ProtoField.uint32)
declare("addr", ProtoField.ipv4) -- of every tuple, so that one filter finds a session wherever it is told of
declare("port", ProtoField.uint16)
declare("arp.opcode", ProtoField.uint16, base.DEC, OPCODES)
declare("arp.sha", ProtoField.ether)
declare("arp.spa", ProtoField.ipv4)
declare("arp.tha", ProtoField.ether)
declare("arp.tpa", ProtoField.ipv4)
declare("arp.unit", ProtoField.uint8) -- the unit that asks, by its physical MAC
declare("arp.interface", ProtoField.uint8)
synod.fields = all

local experts = {}
for name, text in pairs({
    bad_length = "Shorter or longer than it says", bad_kind = "Unknown kind", bad_version = "Unknown version",
    bad_value = "Out of its range", bad_option = "Unknown option, or out of order", bad_map = "Not the map of this kind",
}) do
    experts[name] = ProtoExpert.new("synod." .. name, text, expert.group.MALFORMED, expert.severity.ERROR)
end
experts.bad_magic = ProtoExpert.new(
    "synod.bad_magic", "A SYN to a unit's own MAC that has data, but no SYN data",
    expert.group.PROTOCOL, expert.severity.WARN)
do
    local list = {}
    for _, each in pairs(experts) do list[#list + 1] = each end
    synod.experts = list
end

local function complain(tree, name, detail)
    if detail then tree:add_proto_expert_info(experts[name], detail)
    else tree:add_proto_expert_info(experts[name]) end
end

-- Values ------------------------------------------------------------------------------------------------------------

local function address(range)
    return tostring(range:ipv4())
end

local function endpoint(range)
    return address(range(0, 4)) .. ":" .. range(4, 2):uint()
end

-- Source, destination of a tuple, as people write them.
local function ends(range)
    return address(range(0, 4)) .. ":" .. range(8, 2):uint(), address(range(4, 4)) .. ":" .. range(10, 2):uint()
end

-- Printable ASCII up to the first zero; other bytes as dots.
local function text(range)
    return (range:bytes():raw():gsub("%z.*", ""):gsub("[^\32-\126]", "."))
end

local function is_set(value, bit)
    return math.floor(value / bit) % 2 == 1
end

local function label_name(bit)
    local named = { [81] = "balance", [82] = "helper", [83] = "live", [84] = "closing" }
    if bit >= 1 and bit <= 64 then return "unit-" .. bit end
    if bit >= 65 and bit <= 80 then return "in-" .. bit - 64 end
    return named[bit] or "bit-" .. bit
end

local function labels(range)
    local names = {}
    for bit = 0, 127 do
        local byte = range(math.floor(bit / 8), 1):uint()
        if is_set(byte, 2 ^ (bit % 8)) then names[#names + 1] = label_name(bit) end
    end
    return table.concat(names, ",")
end

local function add_tuple(tree, field, range)
    local source, destination = ends(range)
    local item = tree:add(field, range, source .. " > " .. destination)
    item:add(fields.addr, range(0, 4))
    item:add(fields.addr, range(4, 4))
    item:add(fields.port, range(8, 2))
    item:add(fields.port, range(10, 2))
    return source .. " > " .. destination
end

-- Adds one value; returns it for the summary.
local function add_value(tree, name, kind, range)
    local field = fields[name]
    if kind == "tuple" then return add_tuple(tree, field, range) end
    local told
    if kind == "endpoint" then told = endpoint(range)
    elseif kind == "labels" then told = labels(range)
    elseif kind:find("^text") then told = text(range) end
    if told then
        tree:add(field, range, told)
        return told
    end
    local item = tree:add(field, range)
    if range:len() > 4 then return nil end
    local value = range:uint()
    local limits = RANGES[kind]
    if limits and (value < limits[1] or value > limits[2]) or kind == "protocol" and value ~= 6 and value ~= 17
        or kind:find("^pad") and value ~= 0 and name:find("^syn") then
        complain(item, "bad_value", name .. " " .. value)
    end
    return value
end

-- Adds the fields of a layout; returns their values by name.
local function add_layout(tree, prefix, layout, range)
    local values, at = {}, 0
    for _, each in ipairs(layout) do
        local size = SIZES[each[2]]
        values[each[1]] = add_value(tree, prefix .. "." .. each[1], each[2], range(at, size))
        at = at + size
    end
    return values
end

local function size_of(layout)
    local size = 0
    for _, each in ipairs(layout) do size = size + SIZES[each[2]] end
    return size
end

-- msgpack -----------------------------------------------------------------------------------------------------------

local DEEPEST = 4
local read -- below; reads one value at `at`: its value and the offset behind it; nil, nil if there is none

local function read_text(range, at, size)
    if at + size > range:len() then return nil, nil end
    return { text = size > 0 and text(range(at, size)) or "" }, at + size
end

local function read_many(range, at, count, depth, pairs_)
    local found = { map = pairs_ }
    for _ = 1, count do
        local key, value, start = nil, nil, at
        if pairs_ then
            key, at = read(range, at, depth + 1)
            if not at then return nil, nil end
            start = at
        end
        value, at = read(range, at, depth + 1)
        if not at then return nil, nil end
        found[#found + 1] = { key = key, value = value, range = range(start, at - start) }
    end
    return { many = found }, at
end

local function read_sized(range, at, size, then_)
    if at + size > range:len() then return nil, nil end
    return then_(at + size, range(at, size))
end

function read(range, at, depth)
    if depth > DEEPEST or at >= range:len() then return nil, nil end
    local byte = range(at, 1):uint()
    at = at + 1
    if byte < 0x80 then return { number = UInt64(byte) }, at end
    if byte < 0x90 then return read_many(range, at, byte - 0x80, depth, true) end
    if byte < 0xa0 then return read_many(range, at, byte - 0x90, depth, false) end
    if byte < 0xc0 then return read_text(range, at, byte - 0xa0) end
    if byte == 0xc0 then return { none = true }, at end
    if byte == 0xc2 or byte == 0xc3 then return { bool = byte == 0xc3 }, at end
    if byte >= 0xcc and byte <= 0xcf then
        return read_sized(range, at, 2 ^ (byte - 0xcc), function(after, part)
            return { number = part:uint64() }, after
        end)
    end
    if byte >= 0xd9 and byte <= 0xdb then
        return read_sized(range, at, 2 ^ (byte - 0xd9), function(after, part)
            return read_text(range, after, part:uint())
        end)
    end
    if byte >= 0xdc and byte <= 0xdf then
        return read_sized(range, at, byte % 2 == 0 and 2 or 4, function(after, part)
            return read_many(range, after, part:uint(), depth, byte >= 0xde)
        end)
    end
    return nil, nil -- negative numbers, floats, bytes, extensions: in none of our maps
end

local function told(value)
    if not value then return "?" end
    return value.text or value.number and tostring(value.number) or value.bool ~= nil and tostring(value.bool) or "?"
end

-- Adds what a map has under a name that is known. False if the value is of another type.
local function add_named(tree, field, what, each)
    local value = each.value
    if what == "number" and value.number then tree:add(field, each.range, value.number)
    elseif what == "text" and value.text then tree:add(field, each.range, value.text)
    elseif what == "bool" and value.bool ~= nil then tree:add(field, each.range, value.bool)
    elseif what == "list" and value.none then return true
    elseif what == "list" and value.many and not value.many.map then
        for _, item in ipairs(value.many) do
            if not item.value.number then return false end
            tree:add(field, item.range, item.value.number:tonumber() % 2 ^ 32)
        end
    elseif what == "table" and value.many and value.many.map then
        for _, item in ipairs(value.many) do tree:add(field, item.range, told(item.key) .. "=" .. told(item.value)) end
    else return false end
    return true
end

-- Adds a map; returns its values by name, as text.
local function add_map(tree, kind, range)
    local value = read(range, 0, 1)
    if not (value and value.many and value.many.map) then
        complain(tree, "bad_map", "no msgpack map")
        return {}
    end
    local values = {}
    for _, each in ipairs(value.many) do
        local name = told(each.key)
        local what = MAPS[kind][name]
        values[name] = told(each.value)
        if not what then complain(tree, "bad_map", "unknown: " .. name)
        elseif not add_named(tree, fields[kind .. "." .. name], what, each) then
            complain(tree, "bad_map", "another type: " .. name)
        end
    end
    for name in pairs(MAPS[kind]) do
        if not values[name] then complain(tree, "bad_map", "missing: " .. name) end
    end
    return values
end

-- Agent frames ------------------------------------------------------------------------------------------------------

local HEADER = 12
local HEADER_FIELDS = {
    { "version", 0, 1 }, { "kind", 1, 1 }, { "group", 2, 1 }, { "unit", 3, 1 }, { "count", 4, 2 }, { "flags", 6, 1 },
    { "token", 8, 4 },
}

local function plural(count, word)
    return count .. " " .. word .. (count == 1 and "" or "s")
end

-- What the frame says, in a few words behind kind and unit.
local function summary(kind, count, flags, first)
    if MAPS[kind] then return first.role and ", " .. first.role .. ", primary " .. (first.primary or "?") or "" end
    if kind == "keepalive" then return flags % 2 == 1 and ", hears the app" or ", doesn't hear the app" end
    if kind == "census_request" then return "" end
    if BYTES[kind] then return ", " .. plural(count, "byte") .. (flags % 2 == 1 and ", the last" or "") end
    local words = ", " .. plural(count, "record")
    if not first then return words end
    if first.answer then return words .. ": " .. (ANSWERS[first.answer] or "?") end
    if kind == "decided" then return words .. ": unit " .. first.unit end
    local tuple = first.tuple12 or first.orig
    return tuple and words .. ": " .. tuple or words
end

local function add_records(tree, kind, range, count)
    local layout, first = RECORDS[kind], nil
    local size = size_of(layout)
    if size == 0 then
        if count > 0 then complain(tree, "bad_length", "records in a frame that has none") end
        return nil, 0
    end
    local there = math.min(count, range and math.floor(range:len() / size) or 0)
    if there < count then complain(tree, "bad_length", there .. " of " .. plural(count, "record")) end
    for number = 1, there do
        local part = range((number - 1) * size, size)
        local values = add_layout(tree:add(part, kind .. " " .. number), kind, layout, part)
        first = first or values
    end
    return first, there * size
end

local function add_body(tree, kind, range, count)
    if not (BYTES[kind] or MAPS[kind]) then return add_records(tree, kind, range, count) end
    local there = math.min(count, range and range:len() or 0)
    if there < count then complain(tree, "bad_length", there .. " of " .. plural(count, "byte")) end
    if BYTES[kind] then
        if there > 0 then tree:add(range(0, there), BYTES[kind] .. plural(there, "byte")) end
        return nil, there
    end
    if there == 0 then
        complain(tree, "bad_map", "empty")
        return {}, 0
    end
    return add_map(tree, kind, range(0, there)), there
end

local function add_seal(tree, range)
    add_layout(tree:add(range, "seal"), "seal", SEAL, range)
end

function synod.dissector(tvb, pinfo, root)
    local size = tvb:len()
    pinfo.cols.protocol = "Synod"
    local tree = root:add(synod, tvb(), "Synod, agent frame")
    if size < HEADER then
        pinfo.cols.info = "Agent frame, truncated"
        complain(tree, "bad_length", plural(size, "byte"))
        return size
    end
    for _, each in ipairs(HEADER_FIELDS) do tree:add(fields[each[1]], tvb(each[2], each[3])) end
    local version, number, unit = tvb(0, 1):uint(), tvb(1, 1):uint(), tvb(3, 1):uint()
    local count, flags, kind = tvb(4, 2):uint(), tvb(6, 1):uint(), KINDS[number]
    if version ~= 2 then
        pinfo.cols.info = "Agent frame of version " .. version
        complain(tree, "bad_version", tostring(version))
        return size
    end
    if not kind then
        pinfo.cols.info = "Agent frame of unknown kind " .. number
        complain(tree, "bad_kind", tostring(number))
        return size
    end
    if tvb(2, 1):uint() == 0 or unit < 1 or unit > MAX_UNITS then complain(tree, "bad_value", "group or unit") end
    local first, used = add_body(tree, kind, size > HEADER and tvb(HEADER, size - HEADER) or nil, count)
    pinfo.cols.info = kind:upper() .. ": unit " .. unit .. summary(kind, count, flags, first)
    if number < OF_AGENTS then return HEADER + used end
    if size < HEADER + used + SEAL_SIZE then
        complain(tree, "bad_length", "no seal")
        return size
    end
    add_seal(tree, tvb(HEADER + used, SEAL_SIZE))
    return HEADER + used + SEAL_SIZE
end

DissectorTable.get("ethertype"):add(0x88B5, synod)

-- SYN data and routed ARP: behind the dissectors of TCP and ARP ---------------------------------------------------------

local seen = Proto("synod_seen", "Synod in TCP and ARP")
local eth_dst, arp_opcode = Field.new("eth.dst"), Field.new("arp.opcode")
local tcp_flags, tcp_payload = Field.new("tcp.flags"), Field.new("tcp.payload")
local ip_src, ip_dst = Field.new("ip.src"), Field.new("ip.dst")
local tcp_sport, tcp_dport = Field.new("tcp.srcport"), Field.new("tcp.dstport")

-- The innermost of a field's values.
local function last(field)
    local values = { field() }
    return values[#values]
end

-- Unit and interface that a physical MAC (6 bytes) names: 02:53:59, group, unit, interface.
local function owner(range)
    if range(0, 3):uint() ~= 0x025359 then return nil end
    local unit, interface = range(4, 1):uint(), range(5, 1):uint()
    if unit == 0 or interface == 0 then return nil end
    return unit, interface
end

local function add_options(tree, range)
    local at, before, values = 0, 0, {}
    while at < range:len() do
        local kind = range(at, 1):uint()
        local size = at + 1 < range:len() and range(at + 1, 1):uint() or 0
        if size == 0 or at + 2 + size > range:len() then
            complain(tree, "bad_length", "option " .. kind)
            return values
        end
        local name, value = SYN_OPTIONS[kind], range(at + 2, size)
        if not name or kind <= before or name == "master" and size ~= 12 or name == "helper" and size > 15 then
            complain(tree, "bad_option", "option " .. kind)
            return values
        end
        if name == "master" then values.master = add_tuple(tree, fields["syn.master"], value)
        else
            values.helper = text(value)
            tree:add(fields["syn.helper"], value, values.helper)
        end
        before, at = kind, at + 2 + size
    end
    return values
end

-- What translation the reply tuple has in it, beside the addresses that the SYN carries.
local function translation(reply)
    local source, destination = last(ip_src), last(ip_dst)
    if not (source and destination) then return "" end
    local from, to = reply:match("^(%S+) > (%S+)$")
    local words = ""
    if to ~= tostring(source.value) .. ":" .. last(tcp_sport).value then words = ", NAT to " .. to end
    if from ~= tostring(destination.value) .. ":" .. last(tcp_dport).value then words = words .. ", DNAT to " .. from end
    return words
end

local function show_syn_data(range, pinfo, root)
    local size = range:len()
    local trailer = range(size - SEAL_SIZE - SYN_TRAILER, SYN_TRAILER)
    local length, version = trailer(0, 2):uint(), trailer(2, 1):uint()
    local fits = length >= SYN_SHORTEST and length <= size
    local part = fits and range(size - length, length) or trailer
    local tree = root:add(synod, part, "Synod, SYN data")
    pinfo.cols.protocol = "Synod"
    pinfo.cols.info:clear_fence() -- of "[TCP Out-Of-Order]": a capture of several interfaces has each SYN several times
    pinfo.cols.info = "SYN data"
    tree:add(fields["syn.length"], trailer(0, 2))
    tree:add(fields["syn.version"], trailer(2, 1))
    tree:add(fields["syn.magic"], trailer(4, 4), "SYND")
    if version ~= 2 then
        pinfo.cols.info = "SYN data of version " .. version
        return complain(tree, "bad_version", tostring(version))
    end
    if not fits then
        pinfo.cols.info = "SYN data of a wrong length"
        return complain(tree, "bad_length", length .. " in a payload of " .. plural(size, "byte"))
    end
    if trailer(3, 1):uint() ~= 0 then complain(tree, "bad_value", "reserved byte") end
    local body = SYN_SHORTEST - SYN_TRAILER - SEAL_SIZE
    local values = add_layout(tree, "syn", SYN_BODY, part(0, body))
    local options = length > SYN_SHORTEST and add_options(tree, part(body, length - SYN_SHORTEST)) or {}
    local words = "SYN data: unit " .. values.unit .. translation(values.reply)
    words = words .. string.format(", mark 0x%x", values.mark)
    add_seal(tree, part(length - SEAL_SIZE, SEAL_SIZE))
    if options.helper then words = words .. ", helper " .. options.helper end
    if options.master then words = words .. ", expected by " .. options.master end
    pinfo.cols.info = words
end

local function show_tcp(pinfo, root)
    local flags, payload = last(tcp_flags), last(tcp_payload)
    if not (flags and payload) then return end
    if not is_set(flags.value, 2) or is_set(flags.value, 16) then return end -- SYN without ACK
    local range = payload.range
    local size = range:len()
    local behind = SYN_TRAILER + SEAL_SIZE
    if size >= behind and range(size - SEAL_SIZE - 4, 4):uint() == 0x53594e44 then
        return show_syn_data(range, pinfo, root)
    end
    local destination = last(eth_dst)
    if destination and owner(destination.range) then
        complain(root:add(synod, range, "Synod, no SYN data"), "bad_magic")
    end
end

local function show_arp(tvb, pinfo, root)
    local opcode = last(arp_opcode)
    if not (opcode and OPCODES[opcode.value]) then return end
    local start = opcode.offset - 6
    pinfo.cols.protocol = "Synod"
    local tree = root:add(synod, tvb(start), "Synod, routed ARP")
    tree:add(fields["arp.opcode"], tvb(start + 6, 2))
    if tvb:len() < start + 28 then
        pinfo.cols.info = "Routed ARP, truncated"
        return complain(tree, "bad_length", plural(tvb:len() - start, "byte"))
    end
    if tvb(start, 4):uint() ~= 0x00010800 or tvb(start + 4, 2):uint() ~= 0x0604 then
        pinfo.cols.info = "Routed ARP, not of Ethernet and IPv4"
        return complain(tree, "bad_value", "types or lengths")
    end
    local sha, spa, tha, tpa = tvb(start + 8, 6), tvb(start + 14, 4), tvb(start + 18, 6), tvb(start + 24, 4)
    tree:add(fields["arp.sha"], sha)
    tree:add(fields["arp.spa"], spa)
    tree:add(fields["arp.tha"], tha)
    tree:add(fields["arp.tpa"], tpa)
    local asks = opcode.value == 201
    local asking = asks and sha or tha
    local unit, interface = owner(asking)
    if unit then
        tree:add(fields["arp.unit"], asking(4, 1))
        tree:add(fields["arp.interface"], asking(5, 1))
    end
    local behind = tvb:len() - start - 28 -- bytes of what else there is: a seal, or padding
    if behind >= SEAL_SIZE then add_seal(tree, tvb(start + 28, SEAL_SIZE)) end
    local who = unit and "unit " .. unit .. ", interface " .. interface or tostring(asking:ether())
    pinfo.cols.info = asks and "Routed ARP: " .. who .. " asks for " .. address(tpa)
        or "Routed ARP: " .. who .. " is told that " .. address(spa) .. " is at " .. tostring(sha:ether())
end

function seen.dissector(tvb, pinfo, root)
    show_tcp(pinfo, root)
    show_arp(tvb, pinfo, root)
end

register_postdissector(seen)
