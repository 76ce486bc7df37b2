-- Wireshark dissector for what overlayd hosts say on VXLAN's UDP port: the handshake of sealed sessions, sealed data and
-- keepalives, path probes and echoes. proto/tunnel/messages.ts has the layout. A first byte of 0x08 is plain VXLAN and goes to Wireshark's own.
--
--   tshark -X lua_script:overlayd.lua -r capture.pcap
--   or copy it to the folder of personal Lua plugins (Help, About Wireshark, Folders)

local UDP_PORT = 4789
-- Whoever has the port before this script takes it.
local vxlan = DissectorTable.get("udp.port"):get_dissector(UDP_PORT)
local overlayd = Proto("overlayd", "overlayd sealed tunnel")

local names = {
  [1] = "Handshake initiation",
  [2] = "Handshake response",
  [3] = "Cookie reply",
  [4] = "Sealed data",
  [5] = "Keepalive",
  [6] = "Path probe",
  [7] = "Path probe answer",
  [16] = "Echo request",
  [17] = "Echo answer",
}
-- Whole size of each type; sealed data is at least a header, a VXLAN header and a tag.
local sizes = { [1] = 152, [2] = 80, [3] = 56, [5] = 32, [16] = 48, [17] = 48 }
local DATA_MIN = 40
local VXLAN_FIRST_BYTE = 0x08

local f = overlayd.fields
f.type = ProtoField.uint8("overlayd.type", "Type", base.DEC, names)
f.reserved = ProtoField.uint24("overlayd.reserved", "Reserved", base.HEX)
f.flags = ProtoField.uint8("overlayd.flags", "Flags", base.HEX)
f.wants_answer = ProtoField.bool("overlayd.flags.answer", "Answer wanted", 8, nil, 0x01)
f.aside = ProtoField.bool("overlayd.flags.aside", "Answer to the source port", 8, nil, 0x01)
f.sealed = ProtoField.bool("overlayd.flags.sealed", "Sealed", 8, nil, 0x01)
f.probe = ProtoField.uint16("overlayd.probe", "UDP payload of the probe")
f.token = ProtoField.uint64("overlayd.token", "Token", base.HEX)
f.wall = ProtoField.uint64("overlayd.wall", "Wall clock, ms since 1970")
f.sender = ProtoField.uint32("overlayd.sender", "Sender index", base.HEX)
f.receiver = ProtoField.uint32("overlayd.receiver", "Receiver index", base.HEX)
f.psk = ProtoField.uint32("overlayd.psk", "Cluster key id", base.HEX)
f.ephemeral = ProtoField.bytes("overlayd.ephemeral", "Ephemeral key")
f.static = ProtoField.bytes("overlayd.static", "Sealed static key")
f.payload = ProtoField.bytes("overlayd.payload", "Sealed payload")
f.mac1 = ProtoField.bytes("overlayd.mac1", "MAC 1")
f.mac2 = ProtoField.bytes("overlayd.mac2", "MAC 2")
f.nonce = ProtoField.bytes("overlayd.nonce", "Nonce")
f.cookie = ProtoField.bytes("overlayd.cookie", "Sealed cookie")
f.counter = ProtoField.uint64("overlayd.counter", "Counter")
f.data = ProtoField.bytes("overlayd.data", "Sealed frame")
f.tag = ProtoField.bytes("overlayd.tag", "Tag")

local e_size = ProtoExpert.new("overlayd.size", "Wrong size for this type", expert.group.MALFORMED, expert.severity.ERROR)
local e_type = ProtoExpert.new("overlayd.unknown", "Unknown type", expert.group.PROTOCOL, expert.severity.WARN)
local e_reserved = ProtoExpert.new("overlayd.not_zero", "Reserved bytes are not zero", expert.group.PROTOCOL, expert.severity.WARN)
overlayd.experts = { e_size, e_type, e_reserved }

-- Adds fields one behind the other: { field, size }.
local function add_all(tree, tvb, offset, parts)
  for _, part in ipairs(parts) do
    tree:add(part[1], tvb(offset, part[2]))
    offset = offset + part[2]
  end
end

local bodies = {
  [1] = { { f.sender, 4 }, { f.psk, 4 }, { f.ephemeral, 32 }, { f.static, 48 }, { f.payload, 28 }, { f.mac1, 16 }, { f.mac2, 16 } },
  [2] = { { f.receiver, 4 }, { f.ephemeral, 32 }, { f.payload, 24 }, { f.mac1, 16 } },
  [3] = { { f.receiver, 4 }, { f.nonce, 16 }, { f.cookie, 32 } },
  [5] = { { f.receiver, 4 }, { f.counter, 8 }, { f.tag, 16 } },
  [16] = { { f.psk, 4 }, { f.nonce, 16 }, { f.wall, 8 }, { f.mac1, 16 } },
  [17] = { { f.psk, 4 }, { f.nonce, 16 }, { f.wall, 8 }, { f.mac1, 16 } },
}

local PROBE_MIN = 64
local probe_answers = { [0] = 16, [1] = 40 }

-- Path probes and their answers (proto/pmtu/messages.ts, proto/tunnel/probes.ts); zeros fill a probe.
local function add_probe(tree, tvb)
  local is_sealed = tvb(1, 1):uint() == 1
  tree:add(f.flags, tvb(1, 1)):add(f.sealed, tvb(1, 1))
  tree:add(f.probe, tvb(2, 2))
  if is_sealed then
    add_all(tree, tvb, 4, { { f.receiver, 4 }, { f.counter, 8 }, { f.payload, 24 } })
  else
    add_all(tree, tvb, 4, { { f.token, 8 } })
  end
  return string.format("%d bytes%s", tvb(2, 2):uint(), is_sealed and ", sealed" or "")
end

local function body_of(kind, length)
  if kind == 4 then
    return { { f.receiver, 4 }, { f.counter, 8 }, { f.data, length - 32 }, { f.tag, 16 } }
  end
  return bodies[kind]
end

local function is_whole(tvb, kind, length)
  if kind == 4 then return length >= DATA_MIN end
  if kind == 6 then return length >= PROBE_MIN and length == tvb(2, 2):uint() end
  if kind == 7 then return length >= 16 and length == probe_answers[tvb(1, 1):uint()] end
  return length == sizes[kind]
end

local function summary(tvb, kind)
  local text = names[kind]
  if kind == 1 then return string.format("%s, sender 0x%08x, key 0x%08x", text, tvb(4, 4):uint(), tvb(8, 4):uint()) end
  if kind >= 16 then return string.format("%s, key 0x%08x", text, tvb(4, 4):uint()) end
  text = string.format("%s, receiver 0x%08x", text, tvb(4, 4):uint())
  if kind == 4 or kind == 5 then text = text .. ", counter " .. tostring(tvb(8, 8):uint64()) end
  return text
end

function overlayd.dissector(tvb, pinfo, root)
  local length = tvb:len()
  if length == 0 then return 0 end
  local kind = tvb(0, 1):uint()
  if kind == VXLAN_FIRST_BYTE and vxlan ~= nil then return vxlan:call(tvb, pinfo, root) end

  pinfo.cols.protocol = "OVERLAYD"
  local tree = root:add(overlayd, tvb())
  tree:add(f.type, tvb(0, 1))
  if names[kind] == nil then
    pinfo.cols.info = string.format("Unknown type %d", kind)
    tree:add_proto_expert_info(e_type)
    return length
  end
  if not is_whole(tvb, kind, length) then
    pinfo.cols.info = names[kind] .. ", wrong size"
    tree:add_proto_expert_info(e_size)
    return length
  end
  if kind == 6 or kind == 7 then
    pinfo.cols.info = names[kind] .. ", " .. add_probe(tree, tvb)
    tree:append_text(", " .. names[kind])
    return length
  end
  local reserved = tvb(1, 3)
  if kind == 5 then
    tree:add(f.flags, tvb(1, 1)):add(f.wants_answer, tvb(1, 1))
    reserved = tvb(2, 2)
  elseif kind >= 16 then
    tree:add(f.flags, tvb(1, 1)):add(f.aside, tvb(1, 1))
    reserved = tvb(2, 2)
  else
    tree:add(f.reserved, reserved)
  end
  if reserved:uint() ~= 0 then tree:add_proto_expert_info(e_reserved) end
  add_all(tree, tvb, 4, body_of(kind, length))
  pinfo.cols.info = summary(tvb, kind)
  tree:append_text(", " .. names[kind])
  return length
end

DissectorTable.get("udp.port"):add(UDP_PORT, overlayd)
