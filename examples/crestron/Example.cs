// A room on the command line: says what changes, and does what it is told, one word a line.
//
//   Example HOST PORT ROOM [TOKEN [SHA-256 of the gateway's certificate, for TLS]]

using System;
using Poly2Mqtt;

internal static class Example
{
    private static int Main(string[] args)
    {
        if (args.Length < 3)
        {
            Console.Error.WriteLine("usage: Example HOST PORT ROOM [TOKEN [CERTIFICATE]]");
            return 2;
        }
        var token = args.Length > 3 ? args[3] : "";
        using (var room = new PolyRoom(args[0], int.Parse(args[1]), args[2], token))
        {
            room.Encrypted = args.Length > 4;
            room.Certificate = room.Encrypted ? args[4] : "";
            room.Changed += delegate
            {
                if (!room.Online) Console.WriteLine("{0}: {1}", room.Availability, room.Problem);
                else Console.WriteLine("online, volume {0}{1}, call {2}", room.Volume,
                    room.Muted ? ", muted" : "", room.CallState);
            };
            room.CommandFailed += (_, failed) =>
                Console.WriteLine("{0}: {1}: {2}", failed.Command, failed.Code, failed.Message);
            room.Start();

            string line;
            while ((line = Console.ReadLine()) != null && line != "quit")
            {
                var words = line.Split(new[] { ' ' }, 2);
                var rest = words.Length > 1 ? words[1] : "";
                int number;
                switch (words[0])
                {
                    case "mute": room.ToggleMute(); break;
                    case "volume": room.SetVolume(int.Parse(rest)); break;
                    case "preset":
                        if (int.TryParse(rest, out number)) room.ActivatePreset(number);
                        else room.ActivatePreset(rest);
                        break;
                    case "dial": room.Dial(rest); break;
                    case "answer": room.Answer(); break;
                    case "hangup": room.HangUp(); break;
                    case "meetings":
                        foreach (var meeting in new[] { room.CurrentMeeting, room.NextMeeting })
                        {
                            if (meeting != null) Console.WriteLine("{0:t} {1}", meeting.Start, meeting.Subject);
                        }
                        break;
                    case "join": room.JoinCurrentMeeting(); break;
                    case "check": room.CheckRoom(); break;
                    default:
                        Console.WriteLine("mute, volume N, preset N or NAME, dial ADDRESS, answer, hangup, "
                            + "meetings, join, check, quit");
                        break;
                }
            }
        }
        return 0;
    }
}
