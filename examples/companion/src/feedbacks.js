// What buttons show: each feedback is a state of the room.

import { combineRgb } from '@companion-module/base'

export const WHITE = combineRgb(255, 255, 255)
export const BLACK = combineRgb(0, 0, 0)
export const RED = combineRgb(200, 0, 0)
export const GREEN = combineRgb(0, 130, 0)
export const AMBER = combineRgb(230, 150, 0)

/** The feedbacks of a room; `room` gives the one that is configured. */
export function feedbacks(room) {
	const feedback = (name, bgcolor, holds) => ({
		type: 'boolean',
		name,
		options: [],
		defaultStyle: { color: WHITE, bgcolor },
		callback: () => Boolean(room() && holds(room())),
	})
	const nobodyAnswered = (it) => it.state('call/last')?.missed === true
	const call = (...states) => (it) => states.includes(it.state('call/state'))
	return {
		muted: feedback('Microphones are muted', RED, (it) => it.state('audio/muted') === true),
		video_muted: feedback('Video is muted', RED, (it) => it.state('video/muted') === true),
		in_call: feedback('In a call', GREEN, call('connected', 'held')),
		ringing: feedback('Ringing', AMBER, call('ringing')),
		in_meeting: feedback('In a meeting of any kind, Teams and Zoom too', GREEN, (it) => it.state('call/in_meeting') === true),
		meeting_now: feedback('A meeting of the calendar is on', AMBER, (it) => Boolean(it.meeting('calendar/current'))),
		missed: feedback('The last call was missed', AMBER, nobodyAnswered),
		ready: feedback('The last check of the room found nothing wrong', GREEN, (it) => it.state('readiness')?.ok === true),
		not_ready: feedback('The last check of the room found something wrong', RED, (it) => it.state('readiness')?.ok === false),
		problem: feedback('Something is wrong with gateway or device', RED, (it) => it.problem !== ''),
		online: feedback('Online', GREEN, (it) => it.online),
	}
}
