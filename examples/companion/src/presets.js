// Buttons to start from.

import { DIRECTIONS } from './actions.js'
import { AMBER, BLACK, GREEN, RED, WHITE } from './feedbacks.js'

const ARROWS = { up: '▲', down: '▼', left: '◀', right: '▶', zoom_in: '＋', zoom_out: '－' }

function button(name, text, down, { up = [], feedbacks = [] } = {}) {
	return {
		type: 'simple',
		name,
		style: { text, size: 'auto', color: WHITE, bgcolor: BLACK },
		steps: [{ down, up }],
		feedbacks,
	}
}
const act = (actionId, options = {}) => [{ actionId, options }]
const lit = (feedbackId, bgcolor) => ({ feedbackId, options: {}, style: { color: WHITE, bgcolor } })

/** The sections and the buttons; `label` is what the user calls this connection. */
export function presets(label) {
	const variable = (id) => `$(${label}:${id})`
	const sections = {
		sound: {
			mute: button('Mute', 'MUTE', act('mute', { on: 'toggle' }), { feedbacks: [lit('muted', RED)] }),
			video_mute: button('Video mute', 'VIDEO\nMUTE', act('video_mute', { on: 'toggle' }), {
				feedbacks: [lit('video_muted', RED)],
			}),
			volume_up: button('Volume up', `VOL +\n${variable('volume')}`, act('volume_up', { step: 5 })),
			volume_down: button('Volume down', `VOL -\n${variable('volume')}`, act('volume_down', { step: 5 })),
		},
		call: {
			answer: button('Answer', 'ANSWER', act('answer'), { feedbacks: [lit('ringing', AMBER)] }),
			reject: button('Reject', 'REJECT', act('reject'), { feedbacks: [lit('ringing', AMBER)] }),
			hang_up: button('Hang up', `HANG UP\n${variable('call_state')}`, act('hang_up'), {
				feedbacks: [lit('in_call', GREEN)],
			}),
		},
		meeting: {
			join_current: button('Join the current meeting', `JOIN NOW\n${variable('current_meeting')}`, act('join_current'), {
				feedbacks: [lit('meeting_now', AMBER), lit('in_meeting', GREEN)],
			}),
			join_next: button(
				'Join the next meeting',
				`JOIN ${variable('next_meeting_start')}\n${variable('next_meeting')}`,
				act('join_next'),
			),
		},
		room: {
			check_room: button('Check the room', `CHECK\n${variable('readiness')}`, act('check_room'), {
				feedbacks: [lit('ready', GREEN), lit('not_ready', RED)],
			}),
			problem: button('Problem', `${variable('availability')}\n${variable('problem')}`, [], {
				feedbacks: [lit('problem', RED)],
			}),
			last_call: button('Last call', `LAST\n${variable('last_call')}`, [], { feedbacks: [lit('missed', AMBER)] }),
		},
		camera: {},
	}
	for (const { id, label: name } of DIRECTIONS) {
		const down = act('camera_move', { direction: id })
		sections.camera[`camera_${id}`] = button(`Camera: ${name}`, ARROWS[id], down, { up: act('camera_stop') })
	}
	for (let preset = 1; preset <= 10; preset++) {
		const down = act('preset_activate', { preset })
		sections.camera[`preset_${preset}`] = button(`Camera preset ${preset}`, `CAM\n${variable(`preset_${preset}`)}`, down)
	}
	const names = { sound: 'Sound and picture', call: 'Call', meeting: 'Meetings', room: 'Is all well?', camera: 'Camera' }
	const structure = Object.entries(sections).map(([id, buttons]) => {
		return { id, name: names[id], definitions: Object.keys(buttons) }
	})
	return { structure, buttons: Object.assign({}, ...Object.values(sections)) }
}
