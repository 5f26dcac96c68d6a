// PolyRoom and the example against a running gateway. Run it with: tests/clients.sh crestron

using System;
using System.Diagnostics;
using System.Net;
using System.Threading;
using Poly2Mqtt;

internal static class Test
{
    private static readonly string Control = Environment.GetEnvironmentVariable("CONTROL");
    private static readonly string Token = Environment.GetEnvironmentVariable("TOKEN");
    private static readonly int Port = int.Parse(Environment.GetEnvironmentVariable("TCP_PORT"));

    private static void Person(string what)
    {
        using (var web = new WebClient()) web.UploadString(Control + "/" + what, "");
    }

    private static bool Device(string holds)
    {
        using (var web = new WebClient()) return web.DownloadString(Control + "/state").Contains(holds);
    }

    private static void Gateway(string what)
    {
        var start = new ProcessStartInfo(Environment.GetEnvironmentVariable("GATEWAY"), what);
        start.UseShellExecute = false;
        using (var process = Process.Start(start)) process.WaitForExit();
    }

    private static void Until(string what, Func<bool> holds)
    {
        for (var watch = Stopwatch.StartNew(); !holds(); Thread.Sleep(20))
        {
            if (watch.Elapsed.TotalSeconds < 60) continue;
            Console.WriteLine("never came: {0}", what);
            Environment.Exit(1);
        }
        Console.WriteLine("ok   {0}", what);
    }

    private static PolyRoom Room(string id, string token, int port = 0)
    {
        var room = new PolyRoom("127.0.0.1", port == 0 ? Port : port, id, token);
        room.Start();
        return room;
    }

    // What people read has no JSON escapes.
    private static void Words()
    {
        foreach (var line in new[]
        {
            @"plain|plain", @"a \""quoted\"" name|a ""quoted"" name", @"a\\b\/c|a\b/c", @"caf\u00e9|café",
            @"two\nlines|two lines", @"emoji \ud83d\ude00|emoji \ud83d\ude00", @"|"
        })
        {
            var parts = line.Split('|');
            var wanted = parts[1].Replace(@"\ud83d\ude00", "\ud83d\ude00");
            var json = "{\"code\":\"offline\",\"message\":\"" + parts[0] + "\",\"since\":\"x\"}";
            Until("without escapes: " + parts[0], () => Json.Text(json, "message") == wanted);
        }
        var cut = "{\"message\":\"ends with \\";
        Until("JSON that breaks off", () => Json.Text(cut, "message").StartsWith("ends with") && Json.Raw(cut, "ok") == "");
    }

    // A room over TLS.
    private static void Secure()
    {
        var port = Environment.GetEnvironmentVariable("TLS_PORT");
        var print = Environment.GetEnvironmentVariable("TLS_CERTIFICATE");
        if (string.IsNullOrEmpty(port))
        {
            Console.WriteLine("SKIPPED: TLS needs openssl");
            return;
        }
        foreach (var known in new[] { true, false })
        {
            using (var room = new PolyRoom("127.0.0.1", int.Parse(port), "1", Token))
            {
                room.Encrypted = true;
                room.Certificate = known ? print : print.Replace(print[0], print[0] == '0' ? '1' : '0');
                room.Start();
                if (!known)
                {
                    Until("another certificate is refused", () => room.Problem.Contains("certificate is not trusted"));
                    continue;
                }
                Until("online over TLS", () => room.Online && room.Volume == 62);
                room.SetMute(true);
                Until("mutes over TLS", () => room.Muted);
                room.SetMute(false);
                Until("and unmutes", () => !room.Muted);
            }
        }
        using (var plain = Room("1", Token, int.Parse(port)))
            Until("plain lines at a port with TLS are a problem", () => plain.Problem != "connecting" && !plain.Online);
    }

    private static void Main(string[] args)
    {
        Words();
        Secure();
        using (var stranger = Room("1", "wrong"))
            Until("a wrong token is a problem", () => stranger.Problem.Contains("token is"));
        using (var nowhere = Room("nowhere", Token))
            Until("so is a room that does not exist", () => nowhere.Problem.Contains("no such room"));

        using (var room = Room("1", Token))
        {
            var failure = "";
            var changes = 0;
            room.CommandFailed += (_, failed) => failure = failed.Code + " " + failed.Message;
            room.Changed += delegate { changes++; };
            Until("online", () => room.Online && room.Problem == "");
            Until("the states are there", () => room.Volume == 62 && room.CallState == "idle");

            Until("it says so in words", () => room.Availability == "online");
            Until("the meetings of now and next", () => room.CurrentMeeting != null && room.NextMeeting != null
                && room.CurrentMeeting.Subject == "Stand-up" && room.NextMeeting.Subject == "Planning"
                && room.CurrentMeeting.Start < DateTime.Now && room.NextMeeting.Start > DateTime.Now
                && room.NextMeeting.CanJoin);
            room.JoinCurrentMeeting();
            Until("the current meeting is joined", () => room.InMeeting && Device("standup@example.com"));
            room.HangUp();
            Until("and left", () => !room.InMeeting && room.CallState == "idle");

            room.SetMute(true);
            Until("mute mutes the device", () => Device("\"muted\":true"));
            Until("and shows", () => room.Muted);
            Person("mute?on=false");
            Until("a person unmutes, it shows", () => !room.Muted);
            room.ToggleMute();
            Until("toggled", () => room.Muted);
            room.SetVideoMute(true);
            Until("video mute", () => room.VideoMuted && Device("\"video_muted\":true"));
            Until("each change was told", () => changes > 4);

            for (var volume = 0; volume <= 41; volume++) room.SetVolume(volume);
            Until("the last volume lands", () => room.Volume == 41 && Device("\"volume\":41"));
            Until("without a failure", () => failure == "");
            room.SetVolume(101);
            Until("what is wrong is told", () => failure.StartsWith("invalid_payload volume takes"));

            room.ActivatePreset(3);
            Until("preset 3", () => Device("\"active_preset\":3"));
            Until("presets have their names", () => room.PresetName(1) == "Whole table"
                && room.PresetName(2) == "" && room.PresetName(3) == "Lectern");
            room.ActivatePreset("Whole table");
            Until("a preset by name", () => Device("\"active_preset\":1"));
            room.ActivatePreset("Whole");
            Until("a wrong name is told the right ones", () => failure.Contains("\"Whole table\", \"Lectern\""));
            room.StorePreset(8);
            Until("preset 8 stored", () => Device("[true,true,true,false,false,false,false,true"));
            room.MoveCamera("left");
            Until("the camera moves", () => !Device("\"moving\":null"));
            room.StopCamera();
            Until("and stops", () => Device("\"moving\":null"));

            room.Dial("alice@example.com\r\nroom/1/audio/volume/set 1");
            Until("a line break in an address is no new line", () => room.CallState == "dialing");
            Person("answer");
            Until("in a call", () => room.CallState == "connected" && room.Volume == 41);
            room.HangUp();
            Until("hung up", () => room.CallState == "idle");
            Person("ring?from=bob@example.com");
            Until("ringing", () => room.CallState == "ringing");
            room.Answer();
            Until("answered", () => room.CallState == "connected");
            room.HangUp();
            Until("hung up again", () => room.CallState == "idle");

            failure = "";
            room.CheckRoom();
            Until("a check says what it found", () => room.Ready || room.Readiness != "" || failure != "");

            Gateway("stop");
            Until("the gateway stops", () => !room.Online && room.Problem != "" && room.Availability == "not connected");
            failure = "";
            room.ToggleMute();
            Until("a command fails", () => failure.StartsWith("offline"));
            Person("mute?on=false");
            Gateway("start");
            Until("it is back, with what changed meanwhile", () => room.Online && !room.Muted);

            Gateway("freeze");
            Until("a gateway that says nothing is found out", () => room.Problem.Contains("does not answer"));
            Gateway("thaw");
            Until("and is back", () => room.Online);

            Person("reboot?seconds=3");
            room.SetMute(true);
            Until("the device is away", () => room.Availability == "offline" && room.Problem != "");
            Until("and back", () => room.Online && room.Problem == "");
        }

        var start = new ProcessStartInfo("mono", args[0] + " 127.0.0.1 " + Port + " 1 \"" + Token + "\"");
        start.UseShellExecute = false;
        start.RedirectStandardInput = start.RedirectStandardOutput = true;
        Person("mute?on=false");
        using (var example = Process.Start(start))
        {
            var said = "";
            example.OutputDataReceived += (_, line) => said += line.Data + "\n";
            example.BeginOutputReadLine();
            Until("the example is online", () => said.Contains("online, volume 41"));
            example.StandardInput.WriteLine("mute");
            Until("and mutes", () => said.Contains("online, volume 41, muted, call idle"));
            example.StandardInput.WriteLine("quit");
            example.WaitForExit();
        }
        Console.WriteLine("crestron: all passed");
    }
}
