// What buttons do: each action is a command of the gateway.

const onOff = {
	id: 'on',
	type: 'dropdown',
	label: 'Do',
	default: 'toggle',
	choices: [
		{ id: 'toggle', label: 'Toggle' },
		{ id: 'true', label: 'On' },
		{ id: 'false', label: 'Off' },
	],
}
const number = (id, label, min, max, value) => ({ id, type: 'number', label, min, max, default: value })
const text = (id, label, value = '') => ({ id, type: 'textinput', label, default: value, useVariables: true })
const preset = number('preset', 'Preset', 1, 10, 1)

export const DIRECTIONS = [
	{ id: 'up', label: 'Up' },
	{ id: 'down', label: 'Down' },
	{ id: 'left', label: 'Left' },
	{ id: 'right', label: 'Right' },
	{ id: 'zoom_in', label: 'Zoom in' },
	{ id: 'zoom_out', label: 'Zoom out' },
]
const direction = { id: 'direction', type: 'dropdown', label: 'Direction', default: 'up', choices: DIRECTIONS }

/** `send` takes a command and its payload. */
export function actions(send) {
	const action = (name, options, callback) => ({ name, options, callback })
	const plain = (name, command) => action(name, [], () => send(command))
	return {
		mute: action('Microphones: mute', [onOff], ({ options }) => send('audio/muted/set', options.on)),
		video_mute: action('Camera: video mute', [onOff], ({ options }) => send('video/muted/set', options.on)),
		volume_set: action('Volume: set', [number('volume', 'Volume', 0, 100, 50)], ({ options }) =>
			send('audio/volume/set', options.volume),
		),
		volume_up: action('Volume: up', [number('step', 'By', 1, 100, 5)], ({ options }) =>
			send('audio/volume/up', options.step),
		),
		volume_down: action('Volume: down', [number('step', 'By', 1, 100, 5)], ({ options }) =>
			send('audio/volume/down', options.step),
		),
		preset_activate: action('Camera: recall preset', [preset], ({ options }) =>
			send(`camera/preset/${options.preset}/activate`),
		),
		preset_activate_name: action('Camera: recall preset by name', [text('name', 'Name')], ({ options }) =>
			send(`camera/preset/${encodeURIComponent(options.name)}/activate`),
		),
		preset_store: action('Camera: store preset', [preset], ({ options }) =>
			send(`camera/preset/${options.preset}/store`),
		),
		camera_move: action('Camera: move until stopped', [direction], ({ options }) =>
			send('camera/move', options.direction),
		),
		camera_stop: plain('Camera: stop', 'camera/stop'),
		dial: action('Call: dial', [text('address', 'Address')], ({ options }) =>
			send('call/dial', { address: options.address }),
		),
		answer: plain('Call: answer', 'call/answer'),
		reject: plain('Call: reject', 'call/reject'),
		hang_up: plain('Call: hang up', 'call/hangup'),
		join_current: plain('Calendar: join the current meeting', 'calendar/current/dial'),
		join_next: plain('Calendar: join the next meeting', 'calendar/next/dial'),
		check_room: plain('Room: check whether it is ready', 'readiness/run'),
		provider_set: action(
			'Room: switch the provider (needs a token with the access admin)',
			[text('provider', 'Provider: poly, teams, zoom …')],
			({ options }) => send('system/provider/set', { provider: options.provider }),
		),
		raw: action(
			'Any command of the gateway',
			[text('command', 'Command', 'camera/tracking/set'), text('payload', 'Payload, empty for none')],
			({ options }) => send(options.command, options.payload || undefined),
		),
	}
}
