using Microsoft.ML.Attention;

namespace ClinicalTimeSeries;

/// <summary>
/// Stays that are drawn, not measured, for where no records are at hand, and to check explanations: patients die, with a chance that grows
/// steeply, where lactate rises and blood pressure falls in the last twelve hours. The other four variables have nothing to do with it.
/// </summary>
internal static class DrawnStays
{
    public static readonly string[] Deciding = ["Lactate", "Pressure"];

    private static readonly (string Name, double Level, double Spread, double PerHour)[] Variables =
    [
        ("Pulse", 85, 12, 0.8), ("Pressure", 78, 9, 0.8), ("Lactate", 1.6, 0.4, 0.2), ("Temperature", 37, 0.5, 0.3),
        ("Glucose", 130, 25, 0.2), ("Sodium", 139, 4, 0.1),
    ];

    public static StaySet Draw(int count, int seed)
    {
        var random = new Random(seed);
        return new("drawn stays", [.. Variables.Select(variable => new SeriesVariable(variable.Name))],
            [.. Enumerable.Range(0, count).Select(_ => Draw(random))]);
    }

    private static Stay Draw(Random random)
    {
        var severity = Normal(random);
        var died = random.NextDouble() < 1 / (1 + Math.Exp(-(4 * severity) + 4));
        var levels = Array.ConvertAll(Variables, variable => Normal(random) * 0.7);
        var (times, values) = (new List<float>(), new List<float>());
        for (var hour = 0.5; hour < 48; hour++)
        {
            times.Add((float)(hour + (0.4 * random.NextDouble())));
            var late = Math.Max(0, hour - 36) / 12;
            for (var i = 0; i < Variables.Length; i++)
            {
                var (name, level, spread, perHour) = Variables[i];
                var trend = name == "Lactate" ? 2.5 * severity * late : name == "Pressure" ? -2 * severity * late : 0;
                values.Add(random.NextDouble() < perHour
                    ? (float)(level + (spread * (levels[i] + trend + (0.5 * Normal(random))))) : float.NaN);
            }
        }
        return new() { Times = [.. times], Series = [.. values], Label = died };
    }

    private static double Normal(Random random) =>
        Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble());
}
