using SkiaSharp;

namespace Microsoft.ML.Attention.Vision.Plots;

/// <summary>
/// A monospaced font of pen strokes, so that plots have text on machines without any font installed (containers, mostly).
/// A glyph is a list of strokes; a stroke's points are pairs of digits, x 0..4 and y 0..8 with the baseline at 6.
/// </summary>
internal static class StrokeFont
{
    private const int Advance = 6;
    private const int CapHeight = 6;
    private const string Missing = "0040460600";

    private static readonly Dictionary<char, string> Glyphs = new()
    {
        [' '] = "",
        ['A'] = "062046 1434",
        ['B'] = "06003041423303 334445363606",
        ['C'] = "4130100105163645",
        ['D'] = "06002042442606",
        ['E'] = "40000646 0333",
        ['F'] = "400006 0333",
        ['G'] = "41301001051636454323",
        ['H'] = "0006 4046 0343",
        ['I'] = "1030 2026 1636",
        ['J'] = "4045361605",
        ['K'] = "0006 400346",
        ['L'] = "000646",
        ['M'] = "0600234046",
        ['N'] = "06004640",
        ['O'] = "103041453616050110",
        ['P'] = "06003041423303",
        ['Q'] = "103041453616050110 2446",
        ['R'] = "06003041423303 2346",
        ['S'] = "413010010213334445361605",
        ['T'] = "0040 2026",
        ['U'] = "000516364540",
        ['V'] = "002640",
        ['W'] = "0016233640",
        ['X'] = "0046 4006",
        ['Y'] = "002340 2326",
        ['Z'] = "00400646",
        ['a'] = "4246 4332120305163645",
        ['b'] = "0006 0312324345361605",
        ['c'] = "4332120305163645",
        ['d'] = "4046 4332120305163645",
        ['e'] = "044443321203051646",
        ['f'] = "40302126 1232",
        ['g'] = "4332120305163645 42473818",
        ['h'] = "0006 0312324346",
        ['i'] = "2226 20",
        ['j'] = "32372818 30",
        ['k'] = "0006 4204 2346",
        ['l'] = "10202536",
        ['m'] = "0206 03122326 23324346",
        ['n'] = "0206 0312324346",
        ['o'] = "123243453616050312",
        ['p'] = "0208 0312324345361605",
        ['q'] = "4248 4332120305163645",
        ['r'] = "0206 03123243",
        ['s'] = "43321203143445361605",
        ['t'] = "20253646 1232",
        ['u'] = "0205163645 4246",
        ['v'] = "022642",
        ['w'] = "0216233642",
        ['x'] = "0246 4206",
        ['y'] = "0226 4218",
        ['z'] = "02420646",
        ['0'] = "103041453616050110",
        ['1'] = "112026 1636",
        ['2'] = "01103041420646",
        ['3'] = "0110304142334445361605 1333",
        ['4'] = "36300444",
        ['5'] = "400002324345361605",
        ['6'] = "413010010516364544331304",
        ['7'] = "004016",
        ['8'] = "103041423313020110 133344453616050413",
        ['9'] = "051636454130100102133342",
        ['.'] = "26",
        [','] = "2617",
        [':'] = "23 26",
        ['-'] = "1333",
        ['+'] = "2125 0343",
        ['='] = "0242 0444",
        ['/'] = "4006",
        ['%'] = "4006 0010110100 3545463635",
        ['('] = "30212536",
        [')'] = "10212516",
        ['<'] = "410345",
        ['>'] = "014305",
        ['_'] = "0747",
        ['|'] = "2027",
        ['\''] = "2021",
        ['!'] = "2024 26",
        ['?'] = "01103041422324 26",
    };

    /// <summary>Width of a text in pixels.</summary>
    /// <param name="text">The text.</param>
    /// <param name="size">Height of a capital letter in pixels.</param>
    public static float Width(string text, float size) => Math.Max(text.Length * Advance - 2, 0) * size / CapHeight;

    /// <summary>Draws a text whose first letter begins at <paramref name="x"/> on the line <paramref name="baseline"/>.</summary>
    public static void Draw(SKCanvas canvas, string text, float x, float baseline, float size, SKColor colour)
    {
        var unit = size / CapHeight;
        using var pen = new SKPaint
        {
            Color = colour,
            IsAntialias = true,
            IsStroke = true,
            StrokeWidth = Math.Max(size / 8, 1.1f),
            StrokeCap = SKStrokeCap.Round,
            StrokeJoin = SKStrokeJoin.Round,
        };
        using var path = new SKPath();
        foreach (var character in text)
        {
            foreach (var stroke in Glyphs.GetValueOrDefault(character, Missing).Split(' ', StringSplitOptions.RemoveEmptyEntries))
            {
                path.MoveTo(Point(stroke, 0));
                for (var i = 2; i < stroke.Length; i += 2)
                    path.LineTo(Point(stroke, i));
                if (stroke.Length == 2)
                    path.RLineTo(0.01f, 0);
            }
            x += Advance * unit;
        }
        canvas.DrawPath(path, pen);

        SKPoint Point(string stroke, int i) => new(x + (stroke[i] - '0') * unit, baseline + (stroke[i + 1] - '0' - CapHeight) * unit);
    }
}
