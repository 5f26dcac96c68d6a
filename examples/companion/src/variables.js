// What buttons can write.

const two = (number) => String(number).padStart(2, '0')
const subject = (meeting) => meeting?.subject ?? ''
const start = (meeting) => {
	if (!meeting || Number.isNaN(meeting.start.getTime())) return ''
	return `${two(meeting.start.getHours())}:${two(meeting.start.getMinutes())}`
}
const other = (call) => (call === null || typeof call !== 'object' ? '' : call.name || call.address || '')

const VARIABLES = {
	volume: ['Volume', (room) => room.state('audio/volume')],
	muted: ['Microphones are muted', (room) => room.state('audio/muted')],
	video_muted: ['Video is muted', (room) => room.state('video/muted')],
	call_state: ['Call state', (room) => room.state('call/state')],
	call_count: ['Number of calls', (room) => room.state('call/count')],
	in_meeting: ['In a meeting of any kind', (room) => room.state('call/in_meeting')],
	current_meeting: ['Subject of the current meeting', (room) => subject(room.meeting('calendar/current'))],
	current_meeting_start: ['Start of the current meeting, hh:mm', (room) => start(room.meeting('calendar/current'))],
	next_meeting: ['Subject of the next meeting', (room) => subject(room.meeting('calendar/next'))],
	next_meeting_start: ['Start of the next meeting, hh:mm', (room) => start(room.meeting('calendar/next'))],
	last_call: ['With whom the last call was', (room) => other(room.state('call/last'))],
	last_call_outcome: [
		'The last call: answered, not_answered, missed or rejected',
		(room) => room.state('call/last')?.outcome ?? '',
	],
	readiness: ['What the last check of the room found wrong, empty for nothing', (room) => room.unready],
	provider: ['The provider that runs the room', (room) => room.state('system/mode')?.activePersona ?? ''],
	availability: ['Availability', (room) => (room.online ? 'online' : 'offline')],
	problem: ['What is wrong, empty for nothing', (room) => room.problem],
	last_error: ['Why the last command failed, empty if it did not', undefined],
}

for (let preset = 1; preset <= 10; preset++) {
	VARIABLES[`preset_${preset}`] = [`Camera preset ${preset}: its name, or its number`, (room) => room.presetName(preset)]
}

export const variableDefinitions = Object.fromEntries(
	Object.entries(VARIABLES).map(([id, [name]]) => [id, { name }]),
)

/** All variables that follow from the room. */
export function variableValues(room) {
	const told = Object.entries(VARIABLES).filter(([, [, value]]) => value)
	return Object.fromEntries(told.map(([id, [, value]]) => [id, value(room)]))
}
