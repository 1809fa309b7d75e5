using System.Globalization;
using System.IO.Compression;
using Microsoft.ML;
using Microsoft.ML.Attention;

namespace ClinicalTimeSeries;

/// <summary>
/// Reads records of the PhysioNet/Computing in Cardiology Challenge 2012: up to 48 hours of an ICU stay, 37 variables measured at any
/// times, and general descriptors.
/// </summary>
internal static class PhysioNet2012
{
    public const int VariableCount = 41;

    private static readonly Dictionary<string, (float Low, float High)> Limits = new()
    {
        ["DiasABP"] = (1, 200), ["NIDiasABP"] = (1, 200), ["SysABP"] = (1, 300), ["NISysABP"] = (1, 300), ["MAP"] = (1, 250),
        ["NIMAP"] = (1, 250), ["HR"] = (1, 299), ["RespRate"] = (1, 100), ["Temp"] = (25, 45), ["pH"] = (6.5f, 8), ["PaCO2"] = (1, 200),
        ["PaO2"] = (1, 700), ["SaO2"] = (1, 100), ["FiO2"] = (0.15f, 1), ["GCS"] = (3, 15), ["WBC"] = (0.01f, 500), ["Weight"] = (20, 300),
        ["Glucose"] = (1, 2000), ["Urine"] = (0, 11000), ["Height"] = (100, 250),
    };

    /// <summary>
    /// The measured variables with a value of a healthy person each, then the descriptors of the patient, whose unit of intensive care is 1
    /// coronary, 2 cardiac surgery recovery, 3 medical or 4 surgical.
    /// </summary>
    public static IReadOnlyList<SeriesVariable> Variables { get; } =
    [
        Measured("ALP", 75), Measured("ALT", 25), Measured("AST", 25), Measured("Albumin", 4), Measured("BUN", 14),
        Measured("Bilirubin", 0.7f), Measured("Cholesterol", 180), Measured("Creatinine", 1), Measured("DiasABP", 59),
        Measured("FiO2", 0.21f), Measured("GCS", 15), Measured("Glucose", 128), Measured("HCO3", 24), Measured("HCT", 40),
        Measured("HR", 86), Measured("K", 4.2f), Measured("Lactate", 1), Measured("MAP", 77), Measured("MechVent", 0), Measured("Mg", 2),
        Measured("NIDiasABP", 59), Measured("NIMAP", 77), Measured("NISysABP", 118), Measured("Na", 140), Measured("PaCO2", 40),
        Measured("PaO2", 95), Measured("Platelets", 250), Measured("RespRate", 19), Measured("SaO2", 98), Measured("SysABP", 118),
        Measured("Temp", 36.6f), Measured("TroponinI", 0.04f), Measured("TroponinT", 0.01f), Measured("Urine", 80), Measured("WBC", 8),
        Measured("Weight", 81), Measured("pH", 7.4f),
        Measured("Age", 65) with { HasFlag = false },
        Measured("Gender", 0.5f) with { HasFlag = false, IsNormalized = false },
        Measured("Height", 170) with { HasFlag = false },
        new("ICUType") { Categories = [1, 2, 3, 4], HasFlag = false },
    ];

    private static readonly Dictionary<string, int> Indices =
        Variables.Index().ToDictionary(entry => entry.Item.Name, entry => entry.Index, StringComparer.Ordinal);

    /// <summary>Amounts that range over orders of magnitude.</summary>
    private static readonly string[] Skewed =
    [
        "ALP", "ALT", "AST", "BUN", "Bilirubin", "Creatinine", "Glucose", "Lactate", "PaO2", "Platelets", "TroponinI", "TroponinT",
        "Urine", "WBC",
    ];

    /// <summary>Reads a zip file of records, and makes one row a stay.</summary>
    /// <inheritdoc cref="Load"/>
    public static StaySet LoadSet(MLContext context, string zipFile)
    {
        var rows = context.Data.LoadFromEnumerable(Load(zipFile));
        var stays = context.Transforms.GroupTimeSeries(new GroupTimeSeriesEstimator.Options
        {
            ValueColumnNames = [nameof(StayRow.Values)], ConstantColumnNames = [nameof(StayRow.Label)],
        }).Fit(rows).Transform(rows);
        return new("PhysioNet/CinC Challenge 2012",
            [.. Variables.Select(variable => variable with { IsLogarithmic = Skewed.Contains(variable.Name) })],
            [.. context.Data.CreateEnumerable<Stay>(stays, reuseRowObject: false)]);
    }

    /// <summary>Reads a zip file of records (<c>*/RECORDID.txt</c>) with their outcomes (<c>Outcomes-a.txt</c>).</summary>
    /// <exception cref="InvalidDataException">A record has no outcome, or a line is not of the challenge's form.</exception>
    public static List<StayRow> Load(string zipFile)
    {
        using var zip = ZipFile.OpenRead(zipFile);
        var outcomes = zip.Entries.FirstOrDefault(entry => entry.Name.StartsWith("Outcomes", StringComparison.Ordinal))
            ?? throw new InvalidDataException($"{zipFile} holds no file Outcomes-*.txt.");
        var deaths = Lines(outcomes).Skip(1).Select(line => line.Split(',')).ToDictionary(cells => cells[0], cells => cells[^1] == "1");
        var rows = new List<StayRow>();
        foreach (var entry in zip.Entries.Where(entry => entry.FullName.Contains('/') && entry.Name.EndsWith(".txt", StringComparison.Ordinal)
            && entry != outcomes).OrderBy(entry => entry.Name, StringComparer.Ordinal))
        {
            var id = Path.GetFileNameWithoutExtension(entry.Name);
            if (!deaths.TryGetValue(id, out var died))
                throw new InvalidDataException($"Record {id} has no outcome in {outcomes.Name}.");
            rows.AddRange(ReadRecord(id, died, Lines(entry)));
        }
        return rows;
    }

    /// <summary>The rows of a record, one a time; of several values of a variable at one time the last counts.</summary>
    public static IEnumerable<StayRow> ReadRecord(string id, bool died, IEnumerable<string> lines)
    {
        var times = new SortedDictionary<int, float[]>();
        foreach (var (number, line) in lines.Index().Skip(1))
        {
            if (line.Split(',') is not [var time, var name, var text] || time.Split(':') is not [var hours, var minutes]
                || !int.TryParse(hours, out var hour) || !int.TryParse(minutes, out var minute))
            {
                throw new InvalidDataException($"Line {number + 1} of record {id} is '{line}'; it must be 'HH:MM,name,number'.");
            }
            var at = (60 * hour) + minute;
            if (!times.TryGetValue(at, out var values))
                times.Add(at, values = [.. Enumerable.Repeat(float.NaN, VariableCount)]);
            if (Indices.TryGetValue(name, out var variable) && Value(name, text) is { } value)
                values[variable] = value;
        }
        return times.Select(pair => new StayRow { Id = id, Time = pair.Key / 60f, Values = pair.Value, Label = died });
    }

    private static SeriesVariable Measured(string name, float normal) => new(name) { NormalValue = normal };

    // -1 stands for unknown; what no body can have is a mistake of the record.
    private static float? Value(string name, string text)
    {
        if (!float.TryParse(text, CultureInfo.InvariantCulture, out var value) || value == -1)
            return null;
        return Limits.TryGetValue(name, out var limits) && (value < limits.Low || value > limits.High) ? null : value;
    }

    private static IEnumerable<string> Lines(ZipArchiveEntry entry)
    {
        using var reader = new StreamReader(entry.Open());
        while (reader.ReadLine() is { } line)
        {
            if (line.Length > 0)
                yield return line;
        }
    }
}
