using System.Globalization;

namespace Microsoft.ML.Attention.Onnx.Goldens;

/// <summary>The 17 variables of the MIMIC-III benchmark, whose categories are texts; here they are numbered.</summary>
internal static class MimicVariables
{
    private static readonly Dictionary<int, string[]> Categories = new()
    {
        [0] = ["0.0", "1.0"],
        [3] = ["To Pain", "3 To speech", "1 No Response", "4 Spontaneously", "None", "To Speech", "Spontaneously", "2 To pain"],
        [4] =
        [
            "1 No Response", "3 Abnorm flexion", "Abnormal extension", "No response", "4 Flex-withdraws", "Localizes Pain",
            "Flex-withdraws", "Obeys Commands", "Abnormal Flexion", "6 Obeys Commands", "5 Localizes Pain", "2 Abnorm extensn",
        ],
        [5] = ["11", "10", "13", "12", "15", "14", "3", "5", "4", "7", "6", "9", "8"],
        [6] =
        [
            "1 No Response", "No Response", "Confused", "Inappropriate Words", "Oriented", "No Response-ETT", "5 Oriented",
            "Incomprehensible sounds", "1.0 ET/Trach", "4 Confused", "2 Incomp sounds", "3 Inapprop words",
        ],
    };

    private static readonly string[] Normal =
    [
        "0.0", "59", "0.21", "4 Spontaneously", "6 Obeys Commands", "15", "5 Oriented", "128", "86", "170", "77", "98", "19", "118",
        "36.6", "81", "7.4",
    ];

    public static IReadOnlyList<SeriesVariable> All { get; } =
    [
        .. Normal.Select((normal, i) => new SeriesVariable($"{i}")
        {
            NormalValue = Code(i, normal),
            Categories = Categories.TryGetValue(i, out var names) ? [.. names.Select((_, code) => (float)code)] : null,
        }),
    ];

    /// <summary>The values of a row of the benchmark's files, whose first cell is the time.</summary>
    public static IEnumerable<float> Values(string[] row) => row.Skip(1).Select((cell, i) => Code(i, cell));

    private static float Code(int variable, string text) => text.Length == 0 ? float.NaN
        : Categories.TryGetValue(variable, out var names) ? Array.IndexOf(names, text)
        : float.Parse(text, CultureInfo.InvariantCulture);
}
